"""Faults by kind. `nemesis.py` says what each offers, `all.py` names them."""
