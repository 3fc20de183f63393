/* Lockstep: numerical parity of two implementations of a neural network. The public interface:
 *
 *   capture.h   recording the tensors of an engine: everything that an engine needs, with element types and version
 *   status.h    errors
 *   read.h      reading tensors from files
 *   compare.h   comparing traces and checkpoints
 *
 * ggml.h, which records from within a ggml program, must be included separately.
 */
#ifndef LOCKSTEP_LOCKSTEP_H
#define LOCKSTEP_LOCKSTEP_H

#include <lockstep/capture.h>
#include <lockstep/compare.h>
#include <lockstep/read.h>
#include <lockstep/status.h>

#endif
