"""Each configuration that has goldens, all its models at once: `pytest --every-configuration`."""


def test_configuration(configuration, configuration_goldens):
    configuration_goldens.check(configuration)
