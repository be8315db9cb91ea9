"""Protocol profiles: checked, matched with a sample export, drafted from one."""
