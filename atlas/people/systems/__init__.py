"""Systems in which people decide, such as Slack or a case system: how they sign, and who their people are."""
