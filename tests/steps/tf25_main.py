"""Runs under Python 3.8 with tensorflow 2.5.3: asks that runtime about files. No edgekit, no current NumPy.

python tf25_main.py run MODEL INPUTS.npy OUTPUTS.npy     the model's first output for each row of INPUTS
python tf25_main.py load MODELS.npz ANSWERS.json         {name: null if it loads and runs, else the runtime's words}
"""

import json
import sys

import numpy as np
import tensorflow as tf


def run(model, inputs, outputs):
    interpreter = tf.lite.Interpreter(model_path=model, num_threads=2)
    interpreter.allocate_tensors()
    source, result = interpreter.get_input_details()[0], interpreter.get_output_details()[0]
    rows = []
    for row in np.load(inputs):
        interpreter.set_tensor(source["index"], row[None])
        interpreter.invoke()
        rows.append(interpreter.get_tensor(result["index"])[0])
    np.save(outputs, np.stack(rows))


def load(models, answers):
    told = {}
    for name, data in np.load(models).items():
        try:
            interpreter = tf.lite.Interpreter(model_content=data.tobytes())
            interpreter.allocate_tensors()
            interpreter.invoke()
            told[name] = None
        except (RuntimeError, ValueError) as error:
            told[name] = str(error)
    with open(answers, "w") as file:  # noqa: PTH123
        json.dump(told, file)


assert tf.__version__.startswith("2.5."), tf.__version__
{"run": run, "load": load}[sys.argv[1]](*sys.argv[2:])
