"""Item statistics, collected from the events before the queries: neighbours, users of the items, recent popularity.

The ranker reads them as features, candidate sources find items with them. Collecting them needs scipy; reading them
needs neither scipy nor torch.
"""
