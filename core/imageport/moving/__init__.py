"""Moving over from Glance: what its configuration files say, as a site file and pipelines."""
