"""The `v2g` command, one file per sub-command."""
