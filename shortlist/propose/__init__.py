"""A recipe for data that is seen for the first time: look at a sample, guess what its columns mean, write it down."""

from shortlist.propose.proposal import Proposal
from shortlist.propose.propose import ProposalRequest, propose
from shortlist.propose.recipe_text import recipe_text
from shortlist.propose.summary import Guess, summary

__all__ = ["Guess", "Proposal", "ProposalRequest", "propose", "recipe_text", "summary"]
