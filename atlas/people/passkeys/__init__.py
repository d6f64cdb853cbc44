"""Passkeys: who has which, what they have to sign, and how a signature is checked, now and by an auditor."""
