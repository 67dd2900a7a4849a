"""The device as a measurement needs to know it: which one, in what state, with which software."""
