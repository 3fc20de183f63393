/* Axes that engines need a tensor of a GGUF file to have, and that a converter may leave out: the values are all there then. */
#ifndef LS_CHECKPOINT_ENGINE_SHAPES_H
#define LS_CHECKPOINT_ENGINE_SHAPES_H

#include "format/archive.h"

/* What happens with a tensor of such a shape, in words; NULL where nothing does. */
const char *ls_engine_shape_trouble(const char *architecture, const ls_tensor *tensor);

#endif
