"""Convert the configuration files of Glance to a site file and pipelines: the command ``from-glance``."""
