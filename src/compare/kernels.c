/* Chooses the kernels for the processor. */
#include "compare/kernel.h"

const ls_kernels *ls_kernels_best(void) {
    const ls_kernels *avx2 = ls_kernels_avx2();
    return avx2 != NULL ? avx2 : &ls_kernels_c;
}
