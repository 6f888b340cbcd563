"""What /swagger.json answers: the same description of the service in OpenAPI 2.0, 3.0 or 3.1."""
import os

INPUT = {
    "type": "object",
    "required": ["data"],
    "properties": {
        "data": {
            "type": "array",
            "description": "One flower a row: sepal length, sepal width, petal length, petal width, in cm.",
            "items": {"type": "array", "items": {"type": "number"}, "minItems": 4, "maxItems": 4},
        },
    },
    "example": {"data": [[5.1, 3.5, 1.4, 0.2]]},
}
OUTPUT = {
    "type": "object",
    "properties": {
        "classes": {"type": "array", "items": {"type": "string"}},
        "probabilities": {"type": "array", "items": {"type": "array", "items": {"type": "number"}}},
    },
}
ERROR = {"type": "object", "properties": {"message": {"type": "string"}}}
TEXT = {"type": "string", "example": "Healthy"}
SCHEMAS = {"ServiceInput": INPUT, "ServiceOutput": OUTPUT, "ErrorResponse": ERROR}
VERSIONS = {"2": "2.0", "2.0": "2.0", "3": "3.0.3", "3.0": "3.0.3", "3.1": "3.1.0"}


def describe(version):
    """The document, or None for a version that does not exist."""
    if version not in VERSIONS:
        return None
    prefix = os.environ.get("SERVICE_PATH_PREFIX", "").strip("/")
    base = f"/{prefix}" if prefix else ""
    info = {"title": os.environ.get("SERVICE_NAME", "ML service"), "description": "Which iris is it?",
            "version": os.environ.get("SERVICE_VERSION", "1.0")}
    if VERSIONS[version] == "2.0":
        return openapi_2(base, info)
    return openapi_3(base, info, VERSIONS[version])


def operation(name, description, answers, **request):
    return {"operationId": name, "description": description, "responses": answers, **request}


def openapi_2(base, info):
    answers = {"200": {"description": "The prediction", "schema": {"$ref": "#/definitions/ServiceOutput"}},
               "default": {"description": "What went wrong", "schema": {"$ref": "#/definitions/ErrorResponse"}}}
    body = {"name": "serviceInputPayload", "in": "body", "required": True, "schema": {"$ref": "#/definitions/ServiceInput"}}
    query = {"name": "data", "in": "query", "required": True, "type": "string", "description": "JSON, as in POST"}
    healthy = {"200": {"description": "It is up", "schema": TEXT}}
    return {
        "swagger": "2.0",
        "info": info,
        "consumes": ["application/json"],
        "produces": ["application/json"],
        "paths": {
            f"{base}/": {"get": operation("ServiceHealthCheck", "Is it up?", healthy, produces=["text/plain"])},
            f"{base}/score": {
                "post": operation("RunMLService", "Scores flowers.", answers, parameters=[body]),
                "get": operation("RunMLServiceByQuery", "Scores flowers given in the query.", answers, parameters=[query]),
            },
        },
        "definitions": SCHEMAS,
    }


def openapi_3(base, info, version):
    def json_content(name):
        return {"application/json": {"schema": {"$ref": f"#/components/schemas/{name}"}}}

    answers = {"200": {"description": "The prediction", "content": json_content("ServiceOutput")},
               "default": {"description": "What went wrong", "content": json_content("ErrorResponse")}}
    body = {"required": True, "content": json_content("ServiceInput")}
    query = {"name": "data", "in": "query", "required": True, "schema": {"type": "string"}, "description": "JSON, as in POST"}
    healthy = {"200": {"description": "It is up", "content": {"text/plain": {"schema": TEXT}}}}
    return {
        "openapi": version,
        "info": info,
        "paths": {
            f"{base}/": {"get": operation("ServiceHealthCheck", "Is it up?", healthy)},
            f"{base}/score": {
                "post": operation("RunMLService", "Scores flowers.", answers, requestBody=body),
                "get": operation("RunMLServiceByQuery", "Scores flowers given in the query.", answers, parameters=[query]),
            },
        },
        "components": {"schemas": SCHEMAS},
    }
