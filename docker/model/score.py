"""The entry script, as one would deploy it to Azure Machine Learning: init() once, then run() for every request."""
import json
import os

import joblib


def init():
    global model
    model = joblib.load(os.path.join(os.environ["AZUREML_MODEL_DIR"], "iris.joblib"))


def run(data):
    """data: JSON text {"data": [[sepal length, sepal width, petal length, petal width in cm], ...]}."""
    rows = json.loads(data)["data"]
    return {
        "classes": model.predict(rows).tolist(),
        "probabilities": model.predict_proba(rows).round(4).tolist(),
    }
