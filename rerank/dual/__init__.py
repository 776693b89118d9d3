"""The dual objective: rank by compliance and by freedom from conflict at once, with doubt."""
