"""What the models see and how they learn."""

from typing import Annotated, Any, Literal, Self

from pydantic import Field, PositiveFloat, model_validator

from shortlist.recipe.fields import ColumnFile, Duration, Section, Share
from shortlist.recipe.losses import Loss, Metric, SoftmaxLoss
from shortlist.recipe.negatives import InBatchNegatives, MixedNegatives, Negatives
from shortlist.recipe.old_spelling import new_lines, old_words


class Categorical(Section):
    """A column of ids or words, or of lists of them; each gets a vocabulary with a row for unknown."""

    name: ColumnFile
    """The column, under the name that the source's `columns` give it."""
    dim: int = Field(16, ge=1, le=1024)
    """Width of its embedding."""
    max_values: int = Field(1, ge=1, le=256)
    """How many values of a list are kept; their embeddings are averaged."""
    min_count: int = Field(1, ge=1)
    """Rarer values share the unknown row."""


class Embedding(Section):
    """A list column of numbers made elsewhere (text, audio, image)."""

    name: str
    """The column."""
    dim: int = Field(ge=1, le=8192)
    """Its length; another length in the data is an error."""


class Text(Section):
    """Columns of text that become one vector: TF-IDF of words and pieces of words, reduced by a truncated SVD."""

    columns: list[str] = Field(min_length=1)
    """Read as one text; lists of words will do."""
    dim: int = Field(128, ge=2, le=1024)
    """Width of the vector."""
    terms: int = Field(20_000, ge=10)
    """At most so many words and pieces are known, the most frequent of the train window."""


class ItemFeatures(Section):
    id_dim: int = Field(64, ge=1, le=1024)
    """Width of the item embedding that both towers share."""
    categorical: list[Categorical] = []
    """Columns of ids or words, like artist, brand or genres."""
    numeric: list[str] = []
    """Standardised on the train window; a missing value becomes the mean and sets a flag."""
    embedding: Embedding | None = None
    """A vector of text, audio or images that was made elsewhere."""
    text: Text | None = None
    """What is written about the item, such as its title, categories and brand."""
    title: str | None = None
    """The column shown in answers."""


class UserFeatures(Section):
    id_dim: int = Field(0, ge=0, le=1024)
    """Width of the user embedding; 0 for a model that knows users by their history alone."""
    categorical: list[Categorical] = []
    """Columns of ids or words, like country or occupation."""
    numeric: list[str] = []
    """Columns of numbers, standardised on the train window."""
    text: Text | None = None
    """What is written about the user; where a notice or a search asks for items, the notice or the search."""


class ContextFeatures(Section):
    """What is known when the query is asked: columns of the event, or of the clock."""

    categorical: list[Categorical] = []
    """Columns of ids or words."""
    numeric: list[str] = []
    """Columns of numbers, standardised on the train window."""
    clock: list[Literal["hour", "weekday"]] = []
    """Derived from the time of the query (UTC)."""


class Features(Section):
    item: ItemFeatures = ItemFeatures()
    """What is known of an item."""
    user: UserFeatures = UserFeatures()
    """What is known of a user beside the history."""
    context: ContextFeatures = ContextFeatures()
    """What is known of the moment of the query."""
    history_length: int = Field(50, ge=1, le=4096)
    """How many of the last events a query sees."""


class Training(Section):
    batch_size: int = Field(256, ge=2)
    """Samples a step and process; with `positions: every`, windows; with `leave_one_out`, users."""
    accumulate: int = Field(1, ge=1)
    """Micro-steps whose gradients are added before the optimiser moves."""
    epochs: int = Field(5, ge=1)
    """At most so many passes over the samples."""
    learning_rate: float = Field(1e-3, gt=0)
    """At its highest, after the warm-up."""
    weight_decay: float = Field(0.0, ge=0)
    """Of AdamW, on dense weights."""
    warmup: Share = 0.05
    """Share of the steps in which the learning rate rises; it falls as a cosine after."""
    patience: int = Field(3, ge=1)
    """Epochs without a better validation metric before the training stops."""
    clip_norm: float | None = Field(1.0, gt=0)
    """Longest gradient that is taken as it is; null for any."""
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    """`auto` is bfloat16 on a GPU and float32 on a CPU."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """`auto` takes a GPU where there is one."""
    threads: int = Field(0, ge=0)
    """CPU threads; 0 takes what is there."""


class Refit(Section):
    """A short training after the best epoch, on train and validation together: what is served knows the last days."""

    epochs: int = Field(0, ge=0)
    """Passes over both windows; 0 serves the towers of the best epoch as they are."""
    learning_rate: Share = 0.1
    """Where it begins, as a share of `training.learning_rate`; it falls to 0."""


class Retrieval(Section):
    """The two-tower model."""

    encoder: Literal["mean", "attention", "transformer", "hstu"] = "attention"
    """How the query tower reads the history."""
    positions: Literal["last", "every", "leave_one_out"] = "last"
    """A sample is one interaction (`last`), a window of a history of which every position counts (`every`), or, of data
    without order, all that a user has, each asked for with itself left out (`leave_one_out`)."""
    dim: int = Field(64, ge=2, le=2048)
    """Width of the query and candidate vectors."""
    hidden: list[int] = [128]
    """Widths of the hidden layers of both towers."""
    layers: int = Field(2, ge=1)
    """Blocks of the transformer and HSTU encoders."""
    heads: int = Field(2, ge=1)
    """Heads of attention."""
    gated: bool = False
    """Whether the transformer's blocks are those of LiGR, gated and with a SwiGLU, or plain."""
    dropout: Share = 0.1
    """Share of activations that are dropped in training."""
    metric: Metric = "cosine"
    """Of training, index and serving alike."""
    loss: Loss = SoftmaxLoss(kind="softmax")
    """What is learnt from a positive and its negatives."""
    negatives: Negatives = InBatchNegatives(kind="in_batch")
    """What a positive is compared with."""
    half_life: Annotated[Duration, Field(gt=0)] | None = None
    """Age at which a positive counts half in training, seen from the last one: for fields that drift. Null counts all
    alike."""
    id_dropout: Share = 0.02
    """How often an item id is hidden in training, so that the unknown row learns to stand in."""
    training: Training = Training()
    """How it is trained."""
    refit: Refit = Refit()
    """Whether it then learns from the validation window too."""

    @model_validator(mode="before")
    @classmethod
    def _in_the_new_spelling(cls, given: Any) -> Any:
        if isinstance(given, dict) and (words := old_words(given)):
            lines = "".join(f"\n      {line}" for line in new_lines(given))
            raise ValueError(f"the loss and its negatives are spelt anew; instead of {', '.join(words)} write{lines}")
        return given

    @property
    def num_hard(self) -> int:
        """Hard negatives of an example."""
        return self.negatives.num_hard if isinstance(self.negatives, InBatchNegatives | MixedNegatives) else 0


class Index(Section):
    """The FAISS index."""

    factory: str = "auto"
    """A FAISS factory string; `auto` is exact below `exact_below` items, `IVF*_HNSW32,SQ8` above."""
    exact_below: int = Field(50_000, ge=0)
    """Catalogues smaller than this are searched exactly."""
    nprobe: int = Field(16, ge=1)
    """Lists of an IVF index that a search visits: more find more and take longer."""
    min_recall: Share = 0.9
    """A measured recall@100 against exact search below this stops the run."""


class Ranking(Section):
    """The DCN-v2 ranker."""

    enabled: bool = True
    """Whether what is retrieved is ranked; without, answers come in retrieval order."""
    learn_from: Literal["candidates", "labels"] = "candidates"
    """`candidates`: to order what the index returns, from validation queries. `labels`: to tell which of the events
    were positive, from the events of the train window that were not as much as from those that were (ratings, or what
    was shown and not taken); then it reads nothing of retrieval, whose scores know the labels it learns from."""
    candidates: int = Field(500, ge=2, le=10_000)
    """How many retrieved candidates it scores."""
    negatives: int = Field(50, ge=1)
    """How many of them train it beside each positive. Where events have no order whole lists do, since there a
    candidate is compared with the others."""
    max_queries: int = Field(200_000, ge=10)
    """At most so many validation queries are trained on."""
    embeddings: bool = False
    """Whether it also reads what identifies an item: its vector, and learnt embeddings of its id and its attributes.
    It is for much data and a long validation window; otherwise it learns what was popular then, which passes."""
    attention: bool = False
    """Whether it attends from the candidate to the last events of the history (DIN)."""
    neighbours: int = Field(50, ge=0, le=1000)
    """How many nearest items of each item it keeps, to tell how near a candidate is to the history, and of data without
    order who had what; 0 for none of both."""
    recent: list[PositiveFloat] = [1.0]
    """Of which half-lives it reads how often each item was taken of late, in lengths of the validation window; none
    where the split is not by time. Short ones are for what moves fast and has many takers."""
    cross_layers: int = Field(2, ge=1)
    """Cross layers of DCN-v2."""
    low_rank: int = Field(32, ge=0)
    """Rank of the cross layers' weights; 0 for full."""
    experts: int = Field(1, ge=1, le=64)
    """Low-rank experts that a gate mixes in each cross layer; 1 for a layer without a gate."""
    hidden: list[int] = [64, 32]
    """Widths of the deep layers."""
    dropout: Share = 0.1
    """Share of the deep layers' activations that are dropped in training."""
    loss: Literal["listwise", "binary"] = "listwise"
    """Softmax over a query's candidates, or cross-entropy of each; labels are always learnt by the latter."""
    training: Training = Training(batch_size=64, epochs=10, learning_rate=3e-4)
    """How it is trained."""

    @model_validator(mode="after")
    def _experts_have_a_rank(self) -> Self:
        if self.experts > 1 and not self.low_rank:
            raise ValueError("ranking.experts above 1 are of low rank: set ranking.low_rank above 0")
        return self
