"""What people type: parse, call, print; a module a group of commands, imported when asked for."""
