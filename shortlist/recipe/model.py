"""The model blocks of a recipe: features, retrieval, index and ranking."""

from typing import Annotated, Any, Literal, Self

from pydantic import Discriminator, Field, PositiveFloat, Tag, field_validator, model_validator

from shortlist.recipe.fields import POSITIVE, ColumnFile, Duration, Section, Share, Weight
from shortlist.recipe.losses import Loss, Metric, SoftmaxLoss
from shortlist.recipe.negatives import InBatchNegatives, MixedNegatives, Negatives
from shortlist.recipe.old_spelling import new_lines, old_keys


class Categorical(Section):
    """A column of ids or words, or of lists of them; it gets a vocabulary with a row for unknown values."""

    name: ColumnFile
    """The column, by its name in the `columns` of the source."""
    dim: int = Field(16, ge=1, le=1024)
    """Width of the embedding."""
    max_values: int = Field(1, ge=1, le=256)
    """The number of values of a list that are kept; their embeddings are averaged."""
    min_count: int = Field(1, ge=1)
    """Rarer values share the row for unknown values."""


class Embedding(Section):
    """A column of precomputed vectors (text, audio, image)."""

    name: str
    """The column."""
    dim: int = Field(ge=1, le=8192)
    """The length of the vectors; another length in the data is an error."""


TFIDF, WORDLLAMA = "tfidf", "wordllama"
"""Names of `text.encoder`; every other one is a model of sentence-transformers."""


class Text(Section):
    """Text columns that are encoded as one vector."""

    columns: list[str] = Field(min_length=1)
    """The columns, read as one text; they may contain lists of words."""
    encoder: Annotated[str, Field(min_length=1)] = TFIDF
    """`tfidf`: words and subwords of the train window. For items also a pretrained encoder: `wordllama`, or the folder
    or hub name of a sentence-transformers model."""
    dim: int = Field(128, ge=2, le=1024)
    """Width of the vector, to which the encoder's is reduced by a truncated SVD."""
    terms: int = Field(20_000, ge=10)
    """With `tfidf`, the maximum number of words and subwords, the most frequent of the train window."""

    @model_validator(mode="after")
    def _terms_are_of_tfidf(self) -> Self:
        if self.encoder != TFIDF and self.terms != type(self).model_fields["terms"].default:
            raise ValueError(f"terms needs encoder: {TFIDF}; leave it out")
        return self


class UnknownRow(Section):
    """All items without a train positive share one embedding of the id."""

    kind: Literal["row"]
    """One row."""


class UnknownHash(Section):
    """An item without a train positive has the sum of rows of a small table, chosen by hash functions of its id."""

    kind: Literal["hash"]
    """Hashed rows."""
    buckets: int = Field(10_000, ge=1, le=100_000_000)
    """Rows of the table; it has `id_dim` numbers for each."""
    hashes: int = Field(2, ge=1, le=8)
    """The number of hash functions; with several, two ids rarely share all of their rows."""


UnknownIds = Annotated[UnknownRow | UnknownHash, Field(discriminator="kind")]


class ItemFeatures(Section):
    id_dim: int = Field(64, ge=1, le=1024)
    """Width of the item embedding that both towers share."""
    unknown: UnknownIds = UnknownRow(kind="row")
    """The embedding of ids without a train positive, which `retrieval.id_dropout` trains."""
    categorical: list[Categorical] = []
    """Columns of ids or words, like artist, brand or genres."""
    numeric: list[str] = []
    """Columns of numbers, standardised on the train window; a missing value becomes the mean and sets a flag."""
    embedding: Embedding | None = None
    """A precomputed vector of text, audio or images."""
    text: Text | None = None
    """Text about the item, such as its title, categories and brand."""
    title: str | None = None
    """The column with the title that is shown in recommendations."""

    @property
    def hashes_unknown(self) -> bool:
        """Whether unknown ids are hashed."""
        return isinstance(self.unknown, UnknownHash)


class UserFeatures(Section):
    id_dim: int = Field(0, ge=0, le=1024)
    """Width of the user embedding; 0 for a model that represents users by their history alone."""
    categorical: list[Categorical] = []
    """Columns of ids or words, like country or occupation."""
    numeric: list[str] = []
    """Columns of numbers, standardised on the train window."""
    text: Text | None = None
    """Text about the user; if the queries are documents or searches, their text."""

    @field_validator("text")
    @classmethod
    def _is_encoded_in_requests_too(cls, text: Text | None) -> Text | None:
        if text is not None and text.encoder != TFIDF:
            raise ValueError(f"a request may contain the text, and only encoder: {TFIDF} is part of a release")
        return text


class ContextFeatures(Section):
    """Context at the time of the query: columns of the event, or derived from the time."""

    categorical: list[Categorical] = []
    """Columns of ids or words."""
    numeric: list[str] = []
    """Columns of numbers, standardised on the train window."""
    clock: list[Literal["hour", "weekday"]] = []
    """Derived from the time of the query (UTC)."""


class Features(Section):
    item: ItemFeatures = ItemFeatures()
    """Features of the items."""
    user: UserFeatures = UserFeatures()
    """Features of the users, in addition to the history."""
    context: ContextFeatures = ContextFeatures()
    """Features of the context of a query."""
    history_length: int = Field(50, ge=1, le=4096)
    """The number of last events in the history of a query."""


class Tables(Section):
    """The optimiser of embedding tables of 30,000 rows or more, of which a step updates the rows that it read."""

    optimiser: Literal["adam", "rowwise_adagrad"] = "adam"
    """`adam` keeps two numbers per weight. `rowwise_adagrad` keeps one per row (Duchi et al. 2011, averaged over the
    row), for tables of millions of rows; its steps shrink, so that it needs a larger learning rate."""
    learning_rate: float | None = Field(None, gt=0)
    """The peak learning rate of the tables; null for `learning_rate` of the training."""


class Training(Section):
    batch_size: int = Field(256, ge=2)
    """Samples per step and process; with `positions: every`, windows; with `leave_one_out`, users."""
    accumulate: int = Field(1, ge=1)
    """Number of micro-steps whose gradients are accumulated for one step of the optimiser."""
    epochs: int = Field(5, ge=1)
    """Maximum number of passes over the samples."""
    learning_rate: float = Field(1e-3, gt=0)
    """The peak learning rate, after the warm-up."""
    tables: Tables = Tables()
    """How long embedding tables are trained."""
    weight_decay: float = Field(0.0, ge=0)
    """The weight decay of AdamW, on dense weights."""
    warmup: Share = 0.05
    """Share of the steps in which the learning rate rises linearly, before the schedule."""
    schedule: Literal["cosine", "linear", "constant", "step"] = "cosine"
    """How the learning rate decays: as a cosine or linearly to 0, not at all, or in steps."""
    step_at: list[Share] = [0.5, 0.75]
    """With `schedule: step`, where the learning rate drops, as shares of the steps after the warm-up."""
    step_factor: Share = 0.1
    """With `schedule: step`, the factor of each drop."""
    patience: int = Field(3, ge=1)
    """Training stops after this number of epochs without a better validation metric."""
    clip_norm: float | None = Field(1.0, gt=0)
    """Gradients with a larger norm are clipped to it; null disables clipping."""
    precision: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    """`auto` is bfloat16 on a GPU and float32 on a CPU. `float16` is for GPUs without bfloat16: the loss is scaled, and
    steps whose gradients overflow are skipped (Micikevicius et al. 2018)."""
    keep: int = Field(1, ge=1)
    """How many of the last checkpoints are kept, beside the best one."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """`auto` uses a GPU if there is one."""
    threads: int = Field(0, ge=0)
    """CPU threads; 0 uses all that are available."""

    @model_validator(mode="after")
    def _check_fields_of_step(self) -> Self:
        for name in ("step_at", "step_factor"):
            if self.schedule != "step" and getattr(self, name) != type(self).model_fields[name].default:
                raise ValueError(f"{name} needs schedule: step; leave it out")
        return self


class Refit(Section):
    """A short training after the best epoch, on train and validation together, so that the served towers include the
    latest events."""

    epochs: int = Field(0, ge=0)
    """Passes over both windows; 0 serves the towers of the best epoch unchanged."""
    learning_rate: Share = 0.1
    """The initial learning rate, as a share of `training.learning_rate`; it decays to 0."""


Encoder = Literal["mean", "attention", "transformer", "hstu"]
# The tags choose the type whose errors are shown; `explain` drops those with a bracket.
_Encoders = Annotated[
    Annotated[Encoder, Tag("[one]")] | Annotated[list[Encoder], Field(min_length=1, max_length=4), Tag("[several]")],
    Discriminator(lambda given: "[several]" if isinstance(given, list) else "[one]"),
]


class Retrieval(Section):
    """The two-tower model."""

    encoder: _Encoders = "attention"
    """The history encoder of the query tower, or a list of different ones, like `[attention, mean]`, whose states are
    concatenated; the query vector starts as the first state, and the hidden layers read all."""
    positions: Literal["last", "every", "leave_one_out"] = "last"
    """A sample is one interaction (`last`), a window of a history with a target at every position (`every`), or, for
    data without order, all items of a user, each a target given the others (`leave_one_out`)."""
    dim: int = Field(64, ge=2, le=2048)
    """Width of the query and candidate vectors."""
    hidden: list[int] = [128]
    """Widths of the hidden layers of both towers."""
    layers: int = Field(2, ge=1)
    """Blocks of the transformer and HSTU encoders."""
    heads: int = Field(2, ge=1)
    """Number of attention heads."""
    gated: bool = False
    """Whether the blocks of the transformer are those of LiGR, gated and with a SwiGLU, instead of standard ones."""
    dropout: Share = 0.1
    """Share of activations that are dropped in training."""
    metric: Metric = "cosine"
    """The similarity of query and item vectors, in training, index and serving."""
    loss: Loss = SoftmaxLoss(kind="softmax")
    """The loss over a positive and its negatives."""
    negatives: Negatives = InBatchNegatives(kind="in_batch")
    """The negatives of a positive."""
    half_life: Annotated[Duration, Field(gt=0)] | None = None
    """The half-life of the weight of a positive in training, by its age before the last one, for data that drifts. Null
    gives all positives equal weight."""
    id_dropout: Share = 0.02
    """Share of item ids that are treated as unknown in training, so that `features.item.unknown` is trained."""
    training: Training = Training()
    """Settings of the training."""
    refit: Refit = Refit()
    """Training on the validation window after the best epoch."""

    @model_validator(mode="before")
    @classmethod
    def _has_current_syntax(cls, given: Any) -> Any:
        if isinstance(given, dict) and (keys := old_keys(given)):
            lines = "".join(f"\n      {line}" for line in new_lines(given))
            raise ValueError(
                f"the syntax of the loss and its negatives has changed; instead of {', '.join(keys)} write{lines}"
            )
        return given

    @model_validator(mode="after")
    def _encoders_differ(self) -> Self:
        for place, one in enumerate(self.encoders):
            if one in self.encoders[:place]:
                raise ValueError(f"encoder names {one!r} twice; two of them would learn the same, so remove one")
        return self

    @property
    def encoders(self) -> list[Encoder]:
        """The history encoders, usually one."""
        return self.encoder if isinstance(self.encoder, list) else [self.encoder]

    @property
    def num_hard(self) -> int:
        """The number of hard negatives per example."""
        return self.negatives.num_hard if isinstance(self.negatives, InBatchNegatives | MixedNegatives) else 0


CHEAPEST = "cheapest"
"""The `index.factory` that compares kinds of indexes."""


class Index(Section):
    """The FAISS index."""

    factory: str = "auto"
    """A FAISS factory string; `auto` is exact below `exact_below` items, and `IVF*,SQfp16` above; `cheapest` builds
    several kinds and takes the smallest that reaches `min_recall` within `max_ms` and `max_mb`."""
    exact_below: int = Field(50_000, ge=0)
    """Catalogues smaller than this are searched exactly."""
    nprobe: Annotated[int, Field(ge=1)] | Literal["auto"] = "auto"
    """The number of lists of an IVF index that a search visits: more lists increase recall and latency. `auto` is the
    smallest power of two up to 256 whose recall@100 against exact search is at least 0.99, or nearly that of the best
    if none reaches it."""
    ef_search: int = Field(64, ge=1)
    """The number of items that a search of an HNSW index keeps in view: more items increase recall and latency."""
    refine: int = Field(1, ge=1)
    """For factories that end in RFlat: so many times k results are found and compared again by their exact vectors."""
    sample: int = Field(65_536, ge=256)
    """How many vectors train the quantizers of an index; IVF takes at least 64 per list."""
    min_recall: Share = 0.9
    """A recall@100 against exact search below this stops the run."""
    max_ms: PositiveFloat | None = None
    """With `factory: cheapest`, the most milliseconds that a query may take on one thread. Times depend on the machine,
    so the choice then does too."""
    max_mb: PositiveFloat | None = None
    """With `factory: cheapest`, the most MiB that the index file may have."""

    @model_validator(mode="after")
    def _check_fields_of_cheapest(self) -> Self:
        cheapest = self.factory == CHEAPEST
        for name in ("nprobe", "ef_search", "refine") if cheapest else ("max_ms", "max_mb"):
            if getattr(self, name) != type(self).model_fields[name].default:
                why = "is chosen by" if cheapest else "needs"
                raise ValueError(f"{name} {why} factory: {CHEAPEST}; leave it out")
        return self


class Ranking(Section):
    """The DCN-v2 ranker."""

    enabled: bool = True
    """Whether the candidates are ranked; if not, recommendations are in retrieval order."""
    learn_from: Literal["candidates", "labels"] = "candidates"
    """`candidates`: trains on the candidates that the index returns for validation queries, to order them. `labels`:
    trains on the positive and negative events of the train window (ratings, or impressions without a click), to predict
    the label; then it reads no retrieval features, since retrieval was trained on the same labels."""
    candidates: int = Field(500, ge=2, le=10_000)
    """The number of retrieved candidates that are ranked."""
    negatives: int = Field(50, ge=1)
    """The number of candidates per positive that are sampled as negatives in training; with `interactions.labels`, from
    all other candidates, positives included. Data without order trains on whole lists, since there the features of a
    candidate depend on the others."""
    max_queries: int = Field(200_000, ge=10)
    """The maximum number of validation queries to train on."""
    embeddings: bool = False
    """Whether it also reads features that identify an item: its vector, and learnt embeddings of its id and attributes.
    This needs much data and a long validation window; otherwise it overfits to the popularity of that window."""
    attention: bool = False
    """Whether it attends from the candidate to the last events of the history (DIN)."""
    neighbours: int = Field(50, ge=0, le=1000)
    """The number of nearest items per item, for features of the nearness of a candidate to the history; 0 disables
    these features and, for data without order, those of user k-NN."""
    recent: list[PositiveFloat] = [1.0]
    """The half-lives of the time-decayed popularity features, in lengths of the validation window; they are used only
    with a temporal split. Short half-lives suit many events and fast drift."""
    cross_layers: int = Field(2, ge=1)
    """Cross layers of DCN-v2."""
    low_rank: int = Field(32, ge=0)
    """Rank of the cross layers' weights; 0 for full."""
    experts: int = Field(1, ge=1, le=64)
    """Number of low-rank experts that a gate mixes in each cross layer; 1 for a layer without a gate."""
    hidden: list[int] = [64, 32]
    """Widths of the deep layers."""
    dropout: Share = 0.1
    """Share of the deep layers' activations that are dropped in training."""
    loss: Literal["listwise", "binary"] = "listwise"
    """Softmax over a query's candidates, or binary cross-entropy of each; labels always use the latter."""
    objective: dict[str, Weight] = {POSITIVE: 1.0}
    """The weights of `positive` and of the labels of `interactions.labels`, like `{positive: 1, liked: 0.5}`; 0 for
    those that are not named. A list is ordered by the weighted mean of their calibrated log-odds. A query may have
    other weights: docs/objectives.md."""
    training: Training = Training(batch_size=64, epochs=10, learning_rate=3e-4)
    """Settings of the training."""

    @model_validator(mode="after")
    def _experts_have_a_rank(self) -> Self:
        if self.experts > 1 and not self.low_rank:
            raise ValueError("ranking.experts above 1 must have a low rank: set ranking.low_rank above 0")
        return self
