"""Commands that teach: labs, notebooks, the virtual machine."""
