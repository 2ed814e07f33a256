"""The office: what we do, one step after the other, one transaction each."""
