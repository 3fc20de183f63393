/* Where what is computed from a picture meets what is computed from tokens: the tensor that a tower hands on. */
#ifndef LS_REPLAY_JOINT_H
#define LS_REPLAY_JOINT_H

#include "replay/partners.h"

/* The last value of this many elements that is computed from an input of a pass, and that is read together with a value that is not; LS_NONE. */
size_t ls_joint_below(const ls_partners *partners, size_t input, uint64_t elements);

#endif
