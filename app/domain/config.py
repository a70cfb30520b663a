"""The options of each stage. Every one is typed, bounded and explained here, with its default's reason beside it.

Numbers are numbers here, and neither text nor true.
"""

from enum import StrEnum
from typing import Any, Literal, Self

from pydantic import ConfigDict, Field, StrictBool, StrictFloat, model_validator

from app.domain.base import Frozen, WholeNumber
from app.domain.methods import METHODS


class ViewConfig(Frozen):
    """How an image is cut. Teacher and student always see the same crop and flip (arXiv 2106.05237)."""

    mode: Literal["auto", "live", "cached"] = "auto"
    """`live` runs the teacher on each step's own views; `cached` runs it once over `count` views per image and
    reuses the answers. `auto`: live on a GPU, cached on a CPU."""
    count: WholeNumber = Field(default=4, ge=1, le=256)
    """K, the cached views per image. 8 and 16 were no better than 4, nor 16 than 8 on two data sets with three seeds
    each, nor 64 for 200 images alone; asking the teacher takes time in proportion."""
    min_scale: StrictFloat = Field(default=0.35, gt=0.01, le=1.0)
    """Smallest crop as a fraction of the image's area."""
    hflip: StrictBool = True
    """Mirror half of the views. Turn it off where left and right mean something (digits, text, traffic signs)."""
    jitter: StrictFloat = Field(default=0.4, ge=0.0, le=1.0)
    """Strength of the student's own brightness, contrast and saturation jitter; the teacher never sees it."""
    seed: WholeNumber = Field(default=0, ge=0, lt=2**31)
    """Fixes which views there are. Apart from the job's seed, so that jobs share the teacher's cached answers."""


class ReprogramConfig(Frozen):
    """Stage 1: from the frozen teacher's taps into the proxy space. It trains on cached taps, so it takes seconds."""

    taps: Literal["multi", "last"] = "multi"
    """`multi` reads four depths and the pre-logits vector (+2.5 to +4 points for the teacher); `last` only that."""
    width: WholeNumber | None = Field(default=None, ge=8, le=4096)
    """D, the proxy width. None: 128 below 50 classes, else 256."""
    image_size: WholeNumber | None = Field(default=None, ge=16, le=1024)
    """Side in pixels at which the teacher sees its views. None: the size it was pretrained at."""
    self_training: WholeNumber = Field(default=2, ge=0, le=16)
    """Rounds of self-training after the first: each starts anew from the labels and from what the round before made of
    the unlabelled images, averaged over their views. On 10 classes of photographs with 20 labels each two rounds made
    71 % into 73 %. Without unlabelled images there is nothing to guess."""
    steps: WholeNumber = Field(default=500, ge=1, le=100_000)
    """Optimiser steps of a round, and of the probe. With 20 labels per class 1,000 steps were worse than 500."""
    batch_size: WholeNumber = Field(default=128, ge=2, le=8192)
    """Labelled images per step, and as many unlabelled ones beside them; clamped to the views that there are, and the
    event log says so."""
    learning_rate: StrictFloat = Field(default=3e-3, gt=0, le=1)
    """AdamW's peak learning rate."""
    weight_decay: StrictFloat = Field(default=0.05, ge=0, le=10)
    """AdamW's weight decay."""
    dropout: StrictFloat = Field(default=0.5, ge=0, lt=1)
    """Dropout on the normalised taps in front of each adapter. With 20 labels per class 0.5 was 2 points over 0.1."""
    label_smoothing: StrictFloat = Field(default=0.1, ge=0, lt=1)
    """ε of the smoothed cross-entropy."""
    view_weight: StrictFloat = Field(default=0.5, ge=0, le=100)
    """λ_v: how strongly a view and its shifted view must agree, in z (cosine) and in class (symmetric KL)."""
    moment_weight: StrictFloat = Field(default=1.0, ge=0, le=100)
    """λ_m: how strongly mean and covariance of z must agree between the views and their shifted views."""
    input_reprogramming: StrictBool = False
    """First learn what every image goes through before the teacher sees it, x' = γ⊙x + β + upsample(δ). For domains far
    from photographs; it needs gradients through the teacher, so it takes much longer than the rest of the stage."""
    input_steps: WholeNumber = Field(default=200, ge=1, le=100_000)
    """Optimiser steps of input reprogramming, of 64 images each."""
    input_learning_rate: StrictFloat = Field(default=1e-2, gt=0, le=1)
    """AdamW's peak learning rate there: γ goes from 1 to −1, an inverted contrast, in some 200 steps of 1e-2."""


def _closed(schema: dict[str, Any]) -> None:
    """Methods' own options are listed with their methods; any other name is a mistake.

    Their defaults are in the texts alone: generated clients send each default, which other methods refuse.
    """
    schema["additionalProperties"] = False
    for info in METHODS.values():
        for name, option in info.options.items():
            shown = {key: value for key, value in option.items() if key not in {"title", "default"}}
            shown["description"] = f"{option.get('description', '')} Default: {option['default']}.".lstrip()
            schema["properties"].setdefault(name, shown)


class StudentConfig(Frozen):
    """What every method that trains a student reads: the same budget, batches and optimiser for all."""

    image_steps: WholeNumber = Field(default=150_000, ge=1, le=2_000_000_000)
    """The budget: images seen by the student in training, whatever the data set's size. The time of a job grows with
    it; docs/benchmarks.md was measured with 60,000. With half of that the methods came in another order."""
    batch_size: WholeNumber = Field(default=32, ge=2, le=8192)
    """Images per step; clamped to the images there are, and the event log says so. The budget is counted in images, so
    smaller batches take more steps: after 60,000 image steps `tdmr` had 70.9 % and 75.7 % on two data sets with 64,
    72.1 % and 78.9 % with 32. On a GPU larger ones are faster."""
    optimiser: Literal["muon", "adamw"] = "muon"
    """`muon` orthogonalises the update of each weight matrix (Jordan et al., 2024; timm's, with AdamW for vectors):
    after 40,000 image steps KD had 61 % on one data set and 58 % on another where AdamW had 56 % and 44 %."""
    learning_rate: StrictFloat | None = Field(default=None, gt=0, le=1)
    """The optimiser's peak learning rate. None: 1e-2 for `muon` and 3e-3 for `adamw`; a tenth of it from pretrained
    weights, which a higher one would undo."""
    head_first: StrictBool = True
    """A student that starts from pretrained weights: train its new classifier on its frozen features, for seconds,
    before it learns as a whole (Kumar et al., arXiv 2202.10054)."""
    weight_decay: StrictFloat = Field(default=0.05, ge=0, le=10)
    """AdamW's weight decay; biases and norms are left out."""
    warmup: StrictFloat = Field(default=0.05, ge=0, lt=1)
    """Fraction of the steps in which the learning rate rises linearly; a cosine follows."""
    clip_norm: StrictFloat = Field(default=1.0, gt=0, le=1000)
    """Gradients are scaled down to this global norm."""
    ema: StrictFloat = Field(default=0.999, ge=0, lt=1)
    """Decay of the averaged weights, which are what is evaluated and exported; 0 turns averaging off. The decay rises
    from 0 as 1 − (1 + t)^−0.75, so that short runs are not held back by their first steps."""


class DistillConfig(StudentConfig):
    """Stage 2: the student learns. Each method reads some of these options and may have its own (docs/method.md). A
    new job that sets an option which its method does not read is refused."""

    model_config = ConfigDict(extra="allow", json_schema_extra=_closed)

    temperature: StrictFloat = Field(default=2.0, gt=0, le=100)
    """Softens both distributions before KL; higher passes on more of the teacher's ranking (Hinton et al., 2015)."""
    schedule: Literal["static", "fading", "progressive", "reversed"] = "static"
    """When alignment, proxy and relation losses count. `static` holds all weights; `fading` lets them fade over the
    second half, which leaves the task; `progressive` moves the alignment from shallow to deep stages, then to the
    task; `reversed` runs the progressive alignment backwards, a control."""
    label_share: StrictFloat = Field(default=0.0, ge=0, le=1)
    """At least this part of a batch is labelled where unlabelled images take part; 0 takes images as they come. A
    quarter, with `ce_weight` 1, gave 1.4 points where labels alone teach well (hand signs) and cost 2 where they do not
    (clothing)."""
    handover: StrictBool = True
    """`tdmr`: once the averaged student's cross-entropy on the validation images is below its teacher's, let the labels
    take the lead over the next 40 % of the steps: three quarters of a batch labelled, CE 1, KD 0.3. A teacher that
    knows less holds its student back, so KD is then from the teacher and the averaged student itself, in the share
    that is best on the validation images. Where the student stays behind its teacher nothing changes."""
    ce_weight: StrictFloat = Field(default=0.2, ge=0, le=100)
    """Weight of the labels' cross-entropy beside KD's 0.9, in `tdmr` and `kd` and those built on it."""
    align_weight: StrictFloat = Field(default=0.0, ge=0, le=100)
    """Scales L_al, the cosine distance of each student stage to the teacher in the proxy space. 1 puts a student ahead
    at half time; at the end it ties on each of three data sets, with `relation_weight` 1 too; so it is off."""
    proxy_weight: StrictFloat = Field(default=0.0, ge=0, le=100)
    """L_pk: KL between the teacher's logits and the student's projection read by the frozen class proxies. 0.5
    gave -0.2 points on test and -1.1 on validation images over 17 pairs of runs; so it is off."""
    relation_weight: StrictFloat = Field(default=0.0, ge=0, le=100)
    """L_rel: distance of the batch's centred, normalised Gram matrices in the proxy space. Off for the same reason."""
    use_unlabelled: StrictBool = True
    """Let the data set's `unlabeled/` images join stage 2, without cross-entropy. The largest single gain there is."""

    @property
    def own(self) -> dict[str, Any]:
        """The options that belong to one method alone, as far as they were given."""
        return dict(self.model_extra or {})


class ExportFormat(StrEnum):
    """Formats that a student can be downloaded in."""

    ONNX = "onnx"
    TORCHSCRIPT = "torchscript"
    EXPORTED_PROGRAM = "exported_program"
    ONNX_FP16 = "onnx_fp16"
    """ONNX with weights and arithmetic in float16; input and output stay float32."""
    ONNX_INT8 = "onnx_int8"
    """ONNX with weights and activations in 8 bits, calibrated on training images; withheld where it loses too much
    accuracy."""
    ONNX_PIXELS = "onnx_pixels"
    """ONNX that takes one uint8 RGB picture of any size: resizing, cropping, normalising and softmax are inside."""


class ExportConfig(Frozen):
    """Formats of the student, and how closely each must agree with the trained network."""

    formats: tuple[ExportFormat, ...] = (ExportFormat.ONNX, ExportFormat.TORCHSCRIPT)
    """Each listed format is written and passes the parity check, or the job fails; only `onnx_int8` is withheld
    instead, with the reason in the manifest. `student.safetensors` is always written."""
    max_logit_difference: StrictFloat = Field(default=1e-4, gt=0, le=1)
    """The parity check: max |Δlogit| to the PyTorch student on the evaluation images, for logits within ±10. The bound
    grows with larger logits and with the student's own float32 rounding; the manifest records it."""
    max_logit_difference_fp16: StrictFloat = Field(default=0.1, gt=0, le=10)
    """The same for `onnx_fp16`, which keeps 11 bits of each number where float32 keeps 24; the bound
    grows with larger logits too."""
    max_accuracy_loss: StrictFloat = Field(default=0.02, ge=0, le=1)
    """`onnx_int8` is withheld if its accuracy on the evaluation images is lower than the student's by more than this
    fraction. A loss of one image is always accepted: among 40 images it is 2.5 %, and no evidence. The manifest has the
    loss with its 95 % interval."""
    measure: StrictBool = True
    """Time each file on the worker with 1 and with 32 images per call: some 5 seconds per file. The result is in the
    manifest's `measured`."""

    @model_validator(mode="after")
    def _each_format_once(self) -> Self:
        if not self.formats:
            raise ValueError("name at least one format")
        if len(set(self.formats)) != len(self.formats):
            raise ValueError("a format is named twice")
        return self
