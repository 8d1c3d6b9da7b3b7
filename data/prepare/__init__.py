"""From raw recordings to one npz per protocol; the scripts in data/<data set>/ only choose folders and options."""
