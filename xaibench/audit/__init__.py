"""The test of the tests: does a metric rank what is known to be better above what is known to be worse?"""
