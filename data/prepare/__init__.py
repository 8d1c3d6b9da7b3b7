"""Raw recordings -> one npz per protocol. The scripts in data/<data set>/ only choose folders and options."""
