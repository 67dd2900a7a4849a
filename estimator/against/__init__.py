"""Any estimator beside this one: the two that one would try first, or a function of somebody else's."""
