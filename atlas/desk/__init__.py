"""The reviewer's desk: the pages on which a person sees what waits, understands one call, and decides."""
