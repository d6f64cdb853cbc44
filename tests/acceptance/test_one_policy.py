"""One policy is in force for all gateways of a store: where it comes from, who takes it, and who refuses."""

STRICT = '[[rule]]\ntool = "*"\nscore = 90\nrationale = "A person looks at everything."\n'
OF_ANNA = '[[rule]]\ntool = "*"\nscore = 90\nreviewers = ["anna"]\n'
