"""Document 001's network in Keras, as its notebooks train it; run by benchmarks/beside_keras.py.

    python keras_script.py SIGNS.npz [augmented]

in a Python that has TensorFlow, which need not be the lab's: so this file imports nothing of the
lab's. It trains and validates one epoch for each line that it reads, and prints the seconds.
"""

import os
import sys
import time

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"

import keras
import numpy as np
import tensorflow as tf


def main(file: str, *, augmented: bool) -> None:
    data = np.load(file)
    train_x, val_x = (data[name].astype("float32")[..., None] / 255 for name in ("train", "val"))
    train_y, val_y = data["train_labels"].astype("int64"), data["val_labels"].astype("int64")
    network = _network()
    feed: dict[str, object] = {"x": train_x, "y": train_y, "batch_size": 256}
    if augmented:
        turned = tf.keras.preprocessing.image.ImageDataGenerator(
            rotation_range=10, zoom_range=0.1, width_shift_range=0.1, height_shift_range=0.1
        )
        feed = {"x": turned.flow(train_x, train_y, batch_size=256)}
    print("keras", keras.__version__, "tensorflow", tf.__version__, flush=True)
    for _ in sys.stdin:
        began = time.perf_counter()
        network.fit(**feed, validation_data=(val_x, val_y), epochs=1, verbose=0)
        print(time.perf_counter() - began, flush=True)


def _network() -> keras.Model:
    layers: list[keras.Layer] = [keras.Input((28, 28, 1))]
    for filters in (32, 64, 32):
        layers.append(keras.layers.Conv2D(filters, 3, padding="same", activation="relu"))
        layers.append(keras.layers.MaxPooling2D(2))
    layers += [
        keras.layers.Flatten(),
        keras.layers.Dense(512, activation="relu"),
        keras.layers.Dropout(0.3),
        keras.layers.Dense(24, activation="softmax"),
    ]
    network = keras.Sequential(layers)
    network.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    return network


if __name__ == "__main__":
    main(sys.argv[1], augmented="augmented" in sys.argv)
