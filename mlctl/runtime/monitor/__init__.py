"""The `monitor` program: are a deployment's requests and predictions still like those its model was trained on?"""
