"""The reviewer's desk: the pages on which a person sees what waits, understands one call, and decides.

A folder has what one page, or a family of pages, is made of. Beside them stand small pages of one file
(`…_page`, `trials`) and what all pages share.
"""
