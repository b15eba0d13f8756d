"""The recommender behind the server of the KServe SDK.

python kserve_server.py PORT
"""

import sys

from kserve import InferOutput, InferRequest, InferResponse, Model, ModelServer
from ranking import INPUT, OUTPUTS, ranked


class Ranker(Model):
    """Scores and the best items."""

    def __init__(self) -> None:
        super().__init__("ranker")
        self.ready = True

    def get_input_types(self):
        return [INPUT]

    def get_output_types(self):
        return OUTPUTS

    async def predict(self, payload: InferRequest, headers=None, response_headers=None) -> InferResponse:
        history = payload.inputs[0].as_numpy()
        outputs = []
        for described, array in zip(OUTPUTS, ranked(history), strict=True):
            one = InferOutput(described["name"], list(array.shape), described["datatype"])
            one.set_data_from_numpy(array, binary_data=False)
            outputs.append(one)
        return InferResponse(payload.id, self.name, outputs)


if __name__ == "__main__":
    ModelServer(http_port=int(sys.argv[1]), enable_grpc=False).start([Ranker()])
