"""One film, one network, some explainers: no benchmark, no store."""
