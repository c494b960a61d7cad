"""The doctor looks a studio over: what is wrong with it, why that usually is, and what to do."""
