# ruff: noqa: E501  # a list of words is read as a whole
"""The words that the rules of `order_rules.py` share, as parts of patterns."""

# How a text calls the machine that reads it. The short forms count in capitals alone: "ai" is French.
MACHINE = (
    r"(?:(?-i:AIs?|A\.I\.|KI|IA|LLMs?)(?:[- ](?:assist\w+|agente?n?s?|modell?s?|systeme?s?|bots?|copilot))?"
    r"|(?:large )?language models?|chat-?bots?|chatgpt|copilot|sprachmodell\w*|künstliche intelligenz"
    r"|mod[eèé]l[eo]s? d[eu] (?:langage|lenguaje)|modell[oi] linguistic[oi]|taalmodel"
    r"|(?:virtual |automated |digital )?assistants?|automated systems?|assistente?n?|asistentes?(?: virtual)?"
    r"|assistant virtuel)"
)
AGENT = rf"(?:{MACHINE}|(?:the |any |all |der |l'|el )(?:agente?s?|models?|bots?|modell|modèle|modelo))"
USER = (
    r"(?:(?:the|your) (?:user|human)|(?:de[nmrs]|dein\w*) (?:be)?nutzer\w*|[dl]e l'utilisateur|(?:à )?l'utilisateur"
    r"|(?:ton|votre) utilisateur|(?:al?|el|del|tu) usuario|all'utente|l'utente|o usuário|ao usuário|de gebruiker)"
)
GAP = r"[^.!?\n]{0,60}"
DEEDS = (
    r"(?:send|forward|transfer|wire|pay|buy|purchase|book|reserve|delete|remove|cancel|approve|merge|share|add|invite|"
    r"reset|update|change|set|disable|enable|unlock|visit|open|click|enter|call|execute|run|use|post|publish|submit|"
    r"export|extract|reply|respond|answer|write|mail|email|copy|include|insert|tell|create|make|grant|report|list|"
    r"ignore|disregard|forget|stop|skip|do not|don't|never|always|please|kindly|quietly|silently|secretly|pretend|say|"
    r"überweise|sende|schicke?|lösche?|leite|buche|füge|setze|ändere|genehmige|antworte|gib|kopiere?t?|ignoriere|vergiss|"
    r"envoie|envoyez|transfère|supprime|approuve|ajoute|réserve|change|partage|réponds|visite|n'informe|"
    r"envía|transfiere|reenvía|borra|elimina|aprueba|añade|reserva|cambia|comparte|responde|no informes)"
)
SAID_BEFORE = r"(?:previous|prior|earlier|preceding|above|foregoing|former|existing|original|initial)"
ORDERS_SAID = r"(?:i\w?n?structions?|prompts?|commands?|directions?|directives?|orders|rules|guidelines|guardrails|training)"
