"""Lists of cases: what is asked for, how it is found, and the pages of lines that come back."""
