"""`shortlist.retrieval.together` with tables that are sparse however short they are: started by the tests."""

import sys

from shortlist.retrieval import together, towers

towers._SPARSE_FROM = 1
together.main(*sys.argv[1:])
