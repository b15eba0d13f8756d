"""The attacks: one class per file. See docs/attacks-and-defenses.md."""
