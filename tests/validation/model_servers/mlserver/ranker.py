"""The recommender as a runtime of MLServer."""

from mlserver import MLModel
from mlserver.codecs import NumpyCodec
from mlserver.types import InferenceRequest, InferenceResponse, MetadataTensor
from ranking import INPUT, OUTPUTS, ranked


class Ranker(MLModel):
    """Scores and the best items."""

    async def load(self) -> bool:
        self.inputs = [MetadataTensor(**INPUT)]
        self.outputs = [MetadataTensor(**output) for output in OUTPUTS]
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        found = ranked(NumpyCodec.decode_input(payload.inputs[0]))
        outputs = [NumpyCodec.encode_output(one["name"], array) for one, array in zip(OUTPUTS, found, strict=True)]
        return InferenceResponse(model_name=self.name, outputs=outputs)
