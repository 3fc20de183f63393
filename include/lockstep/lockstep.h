/* Lockstep: numerical parity of two implementations of one neural network. All of the public interface:
 *
 *   capture.h   recording the tensors of an engine: all that an engine needs, with the element types and the version
 *   status.h    errors
 *   read.h      reading tensors from files
 *   compare.h   comparing traces and checkpoints
 *
 * ggml.h, which records from within a ggml program, is included by itself.
 */
#ifndef LOCKSTEP_LOCKSTEP_H
#define LOCKSTEP_LOCKSTEP_H

#include <lockstep/capture.h>
#include <lockstep/compare.h>
#include <lockstep/read.h>
#include <lockstep/status.h>

#endif
