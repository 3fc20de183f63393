/* The operations, one row each. Define LS_OP_ROW before including this file:
 *
 *   LS_OP_ROW(id, canonical name, role, precision, traits, ggml's spellings, PyTorch's spellings, parameters …)
 *
 * A parameter is P(name, type, word in ggml's op_params). PyTorch's parameters come from ATen's schemas
 * and are recorded by name without a table. This file has no include guard. */
#ifndef P
#define P(name, type, word) {name, LS_OP_##type, word}
#endif

LS_OP_ROW(UNKNOWN, "", OTHER, ROUNDED, 0, "", "")
LS_OP_ROW(NONE, "leaf", LEAF, EXACT, 0, "NONE", "")
LS_OP_ROW(UNWRITTEN, "unwritten", LEAF, EXACT, 0, "", "empty empty_like empty_strided new_empty new_empty_strided empty_permuted")

/* Memory: the same values elsewhere. */
LS_OP_ROW(RESHAPE, "reshape", VIEW, EXACT, 0, "RESHAPE", "reshape _reshape_alias _unsafe_view flatten unflatten view_as squeeze unsqueeze")
LS_OP_ROW(VIEW, "view", VIEW, EXACT, 0, "VIEW", "view as_strided alias detach real", P("offset", U64, 0))
LS_OP_ROW(PERMUTE, "permute", VIEW, EXACT, 0, "PERMUTE", "permute movedim", P("axis_0", I32, 0), P("axis_1", I32, 1), P("axis_2", I32, 2), P("axis_3", I32, 3))
LS_OP_ROW(TRANSPOSE, "transpose", VIEW, EXACT, 0, "TRANSPOSE", "transpose t mT swapaxes")
LS_OP_ROW(EXPAND, "expand", VIEW, EXACT, 0, "", "expand expand_as broadcast_to")
LS_OP_ROW(COPY, "copy", COPY, EXACT, 0, "CPY CONT DUP", "copy clone contiguous _to_copy to type_as dropout native_dropout feature_dropout")
LS_OP_ROW(SET_ROWS, "set_rows", WRITE, EXACT, 0, "SET_ROWS", "index_put _index_put_impl")
LS_OP_ROW(INDEX_COPY, "index_copy", WRITE, EXACT, 0, "", "index_copy")
LS_OP_ROW(SCATTER, "scatter", WRITE, EXACT, 0, "", "scatter")
LS_OP_ROW(MASKED_SCATTER, "masked_scatter", WRITE, EXACT, 0, "", "masked_scatter")
LS_OP_ROW(SET, "set", WRITE, EXACT, 0, "SET", "slice_scatter select_scatter", P("nb1", I32, 0), P("nb2", I32, 1), P("nb3", I32, 2), P("offset", I32, 3))

/* Selection. */
LS_OP_ROW(GET_ROWS, "get_rows", SELECTION, EXACT, 0, "GET_ROWS", "embedding Embedding")
LS_OP_ROW(INDEX_SELECT, "index_select", SELECTION, EXACT, 0, "", "index_select")
LS_OP_ROW(INDEX, "index", SELECTION, EXACT, 0, "", "index")
LS_OP_ROW(GATHER, "gather", SELECTION, EXACT, 0, "", "gather take_along_dim take")
LS_OP_ROW(SLICE, "slice", SELECTION, EXACT, 0, "", "slice select narrow diagonal")
LS_OP_ROW(SPLIT, "split", SELECTION, EXACT, 0, "", "split chunk unbind split_with_sizes tensor_split")
LS_OP_ROW(REPEAT, "repeat", SELECTION, EXACT, 0, "REPEAT", "repeat tile")
LS_OP_ROW(REPEAT_INTERLEAVE, "repeat_interleave", SELECTION, EXACT, 0, "", "repeat_interleave")
LS_OP_ROW(ROLL, "roll", SELECTION, EXACT, 0, "ROLL", "roll", P("shift_0", I32, 0), P("shift_1", I32, 1), P("shift_2", I32, 2), P("shift_3", I32, 3))
LS_OP_ROW(FLIP, "flip", SELECTION, EXACT, 0, "", "flip")
LS_OP_ROW(WINDOW_PARTITION, "window_partition", SELECTION, EXACT, 0, "WIN_PART", "", P("windows_x", I32, 0), P("windows_y", I32, 1), P("window", I32, 2))
LS_OP_ROW(WINDOW_UNPARTITION, "window_unpartition", SELECTION, EXACT, 0, "WIN_UNPART", "", P("window", I32, 0))
LS_OP_ROW(GET_REL_POS, "get_rel_pos", SELECTION, EXACT, 0, "GET_REL_POS", "")
LS_OP_ROW(PAD, "pad", JOIN, EXACT, 0, "PAD", "pad constant_pad_nd", P("before_0", I32, 0), P("after_0", I32, 1), P("before_1", I32, 2), P("after_1", I32, 3),
          P("before_2", I32, 4), P("after_2", I32, 5), P("before_3", I32, 6), P("after_3", I32, 7), P("circular", I32, 8))
LS_OP_ROW(PAD_REFLECT_1D, "pad_reflect_1d", JOIN, EXACT, 0, "PAD_REFLECT_1D", "reflection_pad1d", P("before", I32, 0), P("after", I32, 1))
LS_OP_ROW(CONCAT, "concat", JOIN, EXACT, 0, "CONCAT", "cat concat hstack vstack", P("dim", I32, 0))
LS_OP_ROW(STACK, "stack", JOIN, EXACT, 0, "", "stack")
LS_OP_ROW(ASSEMBLED, "assembled", JOIN, EXACT, 0, "", "assembled")
LS_OP_ROW(DIAG, "diag", JOIN, EXACT, 0, "DIAG", "diag diag_embed")

/* Sums and factors of elements. */
LS_OP_ROW(ADD, "add", SUM, ROUNDED, 0, "ADD ADD1", "add __radd__ __iadd__")
LS_OP_ROW(ADD_ID, "add_id", SUM, ROUNDED, 0, "ADD_ID", "")
LS_OP_ROW(ACC, "acc", SUM, ROUNDED, 0, "ACC", "", P("nb1", I32, 0), P("nb2", I32, 1), P("nb3", I32, 2), P("offset", I32, 3))
LS_OP_ROW(INDEX_ADD, "index_add", SUM, ROUNDED, 0, "", "index_add")
LS_OP_ROW(SCATTER_ADD, "scatter_add", SUM, ROUNDED, 0, "", "scatter_add")
LS_OP_ROW(ADD_REL_POS, "add_rel_pos", SUM, ROUNDED, 0, "ADD_REL_POS", "")
LS_OP_ROW(SUB, "sub", SUM, ROUNDED, 0, "SUB", "sub")
LS_OP_ROW(RSUB, "rsub", SUM, ROUNDED, 0, "", "rsub")
LS_OP_ROW(MUL, "mul", FACTOR, ROUNDED, LS_OP_MULTIPLIES, "MUL", "mul")
LS_OP_ROW(DIV, "div", FACTOR, ROUNDED, LS_OP_MULTIPLIES, "DIV", "div true_divide")
LS_OP_ROW(SCALE, "scale", FACTOR, ROUNDED, 0, "SCALE", "", P("scale", F32, 0), P("bias", F32, 1))
LS_OP_ROW(POW, "pow", FACTOR, ROUNDED, 0, "", "pow")
LS_OP_ROW(FLOOR_DIVIDE, "floor_divide", OTHER, ROUNDED, 0, "", "floor_divide")
LS_OP_ROW(REMAINDER, "remainder", OTHER, ROUNDED, 0, "", "remainder")
LS_OP_ROW(FMOD, "fmod", OTHER, ROUNDED, 0, "", "fmod")
LS_OP_ROW(MAXIMUM, "maximum", OTHER, EXACT, 0, "", "maximum")
LS_OP_ROW(MINIMUM, "minimum", OTHER, EXACT, 0, "", "minimum")
LS_OP_ROW(ADDCMUL, "addcmul", SUM, ROUNDED, 0, "", "addcmul")

/* Comparisons, and operations on bits. */
LS_OP_ROW(EQ, "eq", OTHER, EXACT, 0, "", "eq")
LS_OP_ROW(NE, "ne", OTHER, EXACT, 0, "", "ne")
LS_OP_ROW(LT, "lt", OTHER, EXACT, 0, "", "lt")
LS_OP_ROW(LE, "le", OTHER, EXACT, 0, "", "le")
LS_OP_ROW(GT, "gt", OTHER, EXACT, 0, "", "gt")
LS_OP_ROW(GE, "ge", OTHER, EXACT, 0, "", "ge")
LS_OP_ROW(LOGICAL_AND, "logical_and", OTHER, EXACT, 0, "", "logical_and")
LS_OP_ROW(LOGICAL_OR, "logical_or", OTHER, EXACT, 0, "", "logical_or")
LS_OP_ROW(LOGICAL_XOR, "logical_xor", OTHER, EXACT, 0, "", "logical_xor")
LS_OP_ROW(LOGICAL_NOT, "logical_not", OTHER, EXACT, 0, "", "logical_not")
LS_OP_ROW(BITWISE_AND, "bitwise_and", OTHER, EXACT, 0, "", "bitwise_and __and__")
LS_OP_ROW(BITWISE_OR, "bitwise_or", OTHER, EXACT, 0, "", "bitwise_or __or__")
LS_OP_ROW(BITWISE_XOR, "bitwise_xor", OTHER, EXACT, 0, "", "bitwise_xor __xor__")
LS_OP_ROW(BITWISE_NOT, "bitwise_not", OTHER, EXACT, 0, "", "bitwise_not")

/* Products. */
LS_OP_ROW(MUL_MAT, "mul_mat", PRODUCT, ROUNDED, LS_OP_MULTIPLIES, "MUL_MAT", "matmul bmm mm mv", P("precision", I32, 0))
LS_OP_ROW(LINEAR, "linear", PRODUCT, ROUNDED, LS_OP_MULTIPLIES, "", "linear Linear")
LS_OP_ROW(ADDMM, "addmm", PRODUCT, ROUNDED, LS_OP_MULTIPLIES, "", "addmm addmv addbmm baddbmm")
LS_OP_ROW(EINSUM, "einsum", PRODUCT, ROUNDED, LS_OP_MULTIPLIES, "", "einsum")
LS_OP_ROW(MUL_MAT_ID, "mul_mat_id", PRODUCT, ROUNDED, LS_OP_MULTIPLIES, "MUL_MAT_ID", "_grouped_mm grouped_mm")
LS_OP_ROW(OUT_PROD, "out_prod", PRODUCT, ROUNDED, LS_OP_MULTIPLIES, "OUT_PROD", "outer ger")
LS_OP_ROW(SOLVE_TRI, "solve_tri", PRODUCT, ROUNDED, LS_OP_MULTIPLIES, "SOLVE_TRI", "linalg_solve_triangular triangular_solve")
LS_OP_ROW(IM2COL, "im2col", SELECTION, EXACT, 0, "IM2COL", "im2col unfold", P("stride_0", I32, 0), P("stride_1", I32, 1), P("padding_0", I32, 2), P("padding_1", I32, 3),
          P("dilation_0", I32, 4), P("dilation_1", I32, 5), P("is_2d", I32, 6))
LS_OP_ROW(IM2COL_3D, "im2col_3d", SELECTION, EXACT, 0, "IM2COL_3D", "", P("stride_0", I32, 0), P("stride_1", I32, 1), P("stride_2", I32, 2), P("padding_0", I32, 3),
          P("padding_1", I32, 4), P("padding_2", I32, 5), P("dilation_0", I32, 6), P("dilation_1", I32, 7), P("dilation_2", I32, 8), P("channels", I32, 9))
LS_OP_ROW(COL2IM_1D, "col2im_1d", SUM, ROUNDED, 0, "COL2IM_1D", "col2im", P("stride_0", I32, 0), P("channels", I32, 1), P("padding_0", I32, 2))
LS_OP_ROW(CONV_1D, "conv_1d", CONVOLUTION, ROUNDED, LS_OP_MULTIPLIES, "", "conv1d Conv1d")
LS_OP_ROW(CONV_2D, "conv_2d", CONVOLUTION, ROUNDED, LS_OP_MULTIPLIES, "CONV_2D", "conv2d Conv2d convolution _convolution mkldnn_convolution", P("stride_0", I32, 0), P("stride_1", I32, 1),
          P("padding_0", I32, 2), P("padding_1", I32, 3), P("dilation_0", I32, 4), P("dilation_1", I32, 5))
LS_OP_ROW(CONV_2D_DW, "conv_2d_dw", CONVOLUTION, ROUNDED, LS_OP_MULTIPLIES, "CONV_2D_DW", "", P("stride_0", I32, 0), P("stride_1", I32, 1), P("padding_0", I32, 2),
          P("padding_1", I32, 3), P("dilation_0", I32, 4), P("dilation_1", I32, 5))
LS_OP_ROW(CONV_3D, "conv_3d", CONVOLUTION, ROUNDED, LS_OP_MULTIPLIES, "CONV_3D", "conv3d Conv3d", P("stride_0", I32, 0), P("stride_1", I32, 1), P("stride_2", I32, 2), P("padding_0", I32, 3),
          P("padding_1", I32, 4), P("padding_2", I32, 5), P("dilation_0", I32, 6), P("dilation_1", I32, 7), P("dilation_2", I32, 8), P("channels_in", I32, 9),
          P("batch", I32, 10), P("channels_out", I32, 11))
LS_OP_ROW(CONV_TRANSPOSE_1D, "conv_transpose_1d", CONVOLUTION, ROUNDED, LS_OP_MULTIPLIES, "CONV_TRANSPOSE_1D", "conv_transpose1d ConvTranspose1d", P("stride_0", I32, 0), P("padding_0", I32, 1),
          P("dilation_0", I32, 2))
LS_OP_ROW(CONV_TRANSPOSE_2D, "conv_transpose_2d", CONVOLUTION, ROUNDED, LS_OP_MULTIPLIES, "CONV_TRANSPOSE_2D", "conv_transpose2d ConvTranspose2d", P("stride_0", I32, 0))

/* Norms. */
LS_OP_ROW(NORM, "norm", NORM, ROUNDED, 0, "NORM", "layer_norm LayerNorm native_layer_norm", P("eps", F32, 0))
LS_OP_ROW(RMS_NORM, "rms_norm", NORM, ROUNDED, 0, "RMS_NORM", "rms_norm RMSNorm _fused_rms_norm", P("eps", F32, 0))
LS_OP_ROW(GROUP_NORM, "group_norm", NORM, ROUNDED, 0, "GROUP_NORM", "group_norm GroupNorm native_group_norm", P("groups", I32, 0), P("eps", F32, 1))
LS_OP_ROW(L2_NORM, "l2_norm", NORM, ROUNDED, 0, "L2_NORM", "normalize", P("eps", F32, 0))
LS_OP_ROW(BATCH_NORM, "batch_norm", NORM, ROUNDED, 0, "", "batch_norm native_batch_norm _native_batch_norm_legit_no_training cudnn_batch_norm BatchNorm1d BatchNorm2d BatchNorm3d")
LS_OP_ROW(INSTANCE_NORM, "instance_norm", NORM, ROUNDED, 0, "", "instance_norm")

/* Attention. */
LS_OP_ROW(ROPE, "rope", ROTATION, ROUNDED, LS_OP_MULTIPLIES | LS_OP_ANGULAR, "ROPE", "", P("n_dims", I32, 1), P("mode", I32, 2), P("n_ctx_orig", I32, 4), P("freq_base", F32, 5),
          P("freq_scale", F32, 6), P("ext_factor", F32, 7), P("attn_factor", F32, 8), P("beta_fast", F32, 9), P("beta_slow", F32, 10), P("section_0", I32, 11),
          P("section_1", I32, 12), P("section_2", I32, 13), P("section_3", I32, 14), P("offset", I32, 15))
LS_OP_ROW(SOFT_MAX, "softmax", SOFTMAX, ROUNDED, LS_OP_MULTIPLIES, "SOFT_MAX", "softmax Softmax _softmax _safe_softmax special_softmax", P("scale", F32, 0), P("max_bias", F32, 1))
LS_OP_ROW(LOG_SOFTMAX, "log_softmax", ACTIVATION, ROUNDED, 0, "", "log_softmax _log_softmax")
LS_OP_ROW(FLASH_ATTN_EXT, "flash_attention", ATTENTION, ROUNDED, LS_OP_MULTIPLIES, "FLASH_ATTN_EXT",
          "scaled_dot_product_attention _scaled_dot_product_flash_attention _scaled_dot_product_efficient_attention _scaled_dot_product_flash_attention_for_cpu "
          "_scaled_dot_product_attention_math flex_attention",
          P("scale", F32, 0), P("max_bias", F32, 1), P("logit_softcap", F32, 2), P("precision", I32, 3))
LS_OP_ROW(DIAG_MASK_INF, "diag_mask_inf", MASKING, EXACT, 0, "DIAG_MASK_INF", "", P("n_past", I32, 0))
LS_OP_ROW(DIAG_MASK_ZERO, "diag_mask_zero", MASKING, EXACT, 0, "DIAG_MASK_ZERO", "", P("n_past", I32, 0))
LS_OP_ROW(TRI, "tri", MASKING, EXACT, 0, "TRI", "", P("kind", I32, 0))
LS_OP_ROW(TRIL, "tril", MASKING, EXACT, 0, "", "tril")
LS_OP_ROW(TRIU, "triu", MASKING, EXACT, 0, "", "triu")
LS_OP_ROW(MASKED_FILL, "masked_fill", MASKING, EXACT, 0, "", "masked_fill")
LS_OP_ROW(WHERE, "where", MASKING, EXACT, 0, "", "where")

/* Elementwise functions. */
LS_OP_ROW(SQR, "square", ACTIVATION, ROUNDED, 0, "SQR", "square")
LS_OP_ROW(SQRT, "sqrt", ACTIVATION, ROUNDED, 0, "SQRT", "sqrt")
LS_OP_ROW(RSQRT, "rsqrt", ACTIVATION, ROUNDED, 0, "", "rsqrt")
LS_OP_ROW(RECIPROCAL, "reciprocal", ACTIVATION, ROUNDED, 0, "", "reciprocal")
LS_OP_ROW(LOG, "log", ACTIVATION, ROUNDED, 0, "LOG", "log")
LS_OP_ROW(SIN, "sin", ACTIVATION, ROUNDED, LS_OP_ANGULAR, "SIN", "sin")
LS_OP_ROW(COS, "cos", ACTIVATION, ROUNDED, LS_OP_ANGULAR, "COS", "cos")
LS_OP_ROW(ABS, "abs", ACTIVATION, ROUNDED, 0, "ABS", "abs")
LS_OP_ROW(SGN, "sign", ACTIVATION, ROUNDED, 0, "SGN", "sgn sign")
LS_OP_ROW(NEG, "neg", ACTIVATION, ROUNDED, 0, "NEG", "neg")
LS_OP_ROW(STEP, "step", ACTIVATION, ROUNDED, 0, "STEP", "heaviside")
LS_OP_ROW(TANH, "tanh", ACTIVATION, ROUNDED, 0, "TANH", "tanh Tanh")
LS_OP_ROW(ELU, "elu", ACTIVATION, ROUNDED, 0, "ELU", "elu")
LS_OP_ROW(RELU, "relu", ACTIVATION, ROUNDED, 0, "RELU", "relu ReLU")
LS_OP_ROW(LEAKY_RELU, "leaky_relu", ACTIVATION, ROUNDED, 0, "LEAKY_RELU", "leaky_relu", P("negative_slope", F32, 0))
LS_OP_ROW(SIGMOID, "sigmoid", ACTIVATION, ROUNDED, 0, "SIGMOID", "sigmoid Sigmoid")
LS_OP_ROW(LOG_SIGMOID, "log_sigmoid", ACTIVATION, ROUNDED, 0, "", "logsigmoid log_sigmoid log_sigmoid_forward")
/* PyTorch has one name for both forms of GELU. */
LS_OP_ROW(GELU, "gelu", ACTIVATION, F16_TABLE, 0, "GELU", "")
LS_OP_ROW(GELU_ERF, "gelu_erf", ACTIVATION, ROUNDED, 0, "GELU_ERF", "gelu GELU")
LS_OP_ROW(GELU_QUICK, "gelu_quick", ACTIVATION, F16_TABLE, 0, "GELU_QUICK", "")
LS_OP_ROW(SILU, "silu", ACTIVATION, ROUNDED, 0, "SILU", "silu SiLU")
LS_OP_ROW(HARDSWISH, "hardswish", ACTIVATION, ROUNDED, 0, "HARDSWISH", "hardswish")
LS_OP_ROW(HARDSIGMOID, "hardsigmoid", ACTIVATION, ROUNDED, 0, "HARDSIGMOID", "hardsigmoid")
LS_OP_ROW(EXP, "exp", ACTIVATION, ROUNDED, 0, "EXP", "exp")
LS_OP_ROW(EXPM1, "expm1", ACTIVATION, ROUNDED, 0, "EXPM1", "expm1")
LS_OP_ROW(ERF, "erf", ACTIVATION, ROUNDED, 0, "", "erf")
LS_OP_ROW(SOFTPLUS, "softplus", ACTIVATION, ROUNDED, 0, "SOFTPLUS", "softplus")
LS_OP_ROW(MISH, "mish", ACTIVATION, ROUNDED, 0, "", "mish")
LS_OP_ROW(XIELU, "xielu", ACTIVATION, ROUNDED, 0, "XIELU", "", P("alpha_n", F32, 1), P("alpha_p", F32, 2), P("beta", F32, 3), P("eps", F32, 4))
LS_OP_ROW(FLOOR, "floor", ACTIVATION, ROUNDED, 0, "FLOOR", "floor")
LS_OP_ROW(CEIL, "ceil", ACTIVATION, ROUNDED, 0, "CEIL", "ceil")
LS_OP_ROW(ROUND, "round", ACTIVATION, ROUNDED, 0, "ROUND", "round")
LS_OP_ROW(TRUNC, "trunc", ACTIVATION, ROUNDED, 0, "TRUNC", "trunc")
LS_OP_ROW(CLAMP, "clamp", ACTIVATION, ROUNDED, 0, "CLAMP", "clamp clamp_min clamp_max clip", P("min", F32, 0), P("max", F32, 1))

/* Gates. */
LS_OP_ROW(GLU, "glu", GATE, ROUNDED, LS_OP_MULTIPLIES, "GLU", "glu", P("kind", I32, 0), P("swapped", I32, 1))
LS_OP_ROW(REGLU, "reglu", GATE, ROUNDED, LS_OP_MULTIPLIES, "REGLU", "", P("swapped", I32, 1))
LS_OP_ROW(GEGLU, "geglu", GATE, F16_TABLE, LS_OP_MULTIPLIES, "GEGLU", "", P("swapped", I32, 1))
LS_OP_ROW(GEGLU_ERF, "geglu_erf", GATE, ROUNDED, LS_OP_MULTIPLIES, "GEGLU_ERF", "", P("swapped", I32, 1))
LS_OP_ROW(GEGLU_QUICK, "geglu_quick", GATE, F16_TABLE, LS_OP_MULTIPLIES, "GEGLU_QUICK", "", P("swapped", I32, 1))
LS_OP_ROW(SWIGLU, "swiglu", GATE, ROUNDED, LS_OP_MULTIPLIES, "SWIGLU", "", P("swapped", I32, 1))
LS_OP_ROW(SWIGLU_OAI, "swiglu_oai", GATE, ROUNDED, LS_OP_MULTIPLIES, "SWIGLU_OAI", "", P("swapped", I32, 1), P("alpha", F32, 2), P("limit", F32, 3))
LS_OP_ROW(SWIGLU_CLAMP, "swiglu_clamp", GATE, ROUNDED, LS_OP_MULTIPLIES, "SWIGLU_CLAMP", "", P("swapped", I32, 1), P("limit", F32, 3))

/* Reductions and ranks. */
LS_OP_ROW(SUM, "sum", REDUCTION, ROUNDED, 0, "SUM", "sum")
LS_OP_ROW(SUM_ROWS, "sum_rows", REDUCTION, ROUNDED, 0, "SUM_ROWS", "")
LS_OP_ROW(MEAN, "mean", REDUCTION, ROUNDED, 0, "MEAN", "mean")
LS_OP_ROW(VARIANCE, "var", REDUCTION, ROUNDED, 0, "", "var var_mean")
LS_OP_ROW(STD, "std", REDUCTION, ROUNDED, 0, "", "std std_mean")
LS_OP_ROW(VECTOR_NORM, "vector_norm", REDUCTION, ROUNDED, 0, "", "linalg_vector_norm")
LS_OP_ROW(AMAX, "amax", REDUCTION, EXACT, 0, "", "amax max")
LS_OP_ROW(AMIN, "amin", REDUCTION, EXACT, 0, "", "amin min")
LS_OP_ROW(ANY, "any", REDUCTION, EXACT, 0, "", "any")
LS_OP_ROW(ALL, "all", REDUCTION, EXACT, 0, "", "all")
LS_OP_ROW(CUMSUM, "cumsum", REDUCTION, ROUNDED, 0, "CUMSUM", "cumsum")
LS_OP_ROW(HISTC, "histc", REDUCTION, EXACT, 0, "", "histc")
LS_OP_ROW(COUNT_EQUAL, "count_equal", REDUCTION, EXACT, 0, "COUNT_EQUAL", "")
LS_OP_ROW(POOL_1D, "pool_1d", REDUCTION, ROUNDED, 0, "POOL_1D", "avg_pool1d max_pool1d adaptive_avg_pool1d AvgPool1d MaxPool1d AdaptiveAvgPool1d", P("kind", I32, 0), P("kernel_0", I32, 1), P("stride_0", I32, 2),
          P("padding_0", I32, 3))
LS_OP_ROW(POOL_2D, "pool_2d", REDUCTION, ROUNDED, 0, "POOL_2D", "avg_pool2d max_pool2d adaptive_avg_pool2d max_pool2d_with_indices _adaptive_avg_pool2d AvgPool2d MaxPool2d AdaptiveAvgPool2d adaptive_max_pool2d AdaptiveMaxPool2d", P("kind", I32, 0),
          P("kernel_0", I32, 1), P("kernel_1", I32, 2), P("stride_0", I32, 3), P("stride_1", I32, 4), P("padding_0", I32, 5), P("padding_1", I32, 6))
LS_OP_ROW(UPSCALE, "upscale", OTHER, ROUNDED, 0, "UPSCALE", "interpolate upsample_nearest2d upsample_bilinear2d upsample_bicubic2d _upsample_bicubic2d_aa _upsample_bilinear2d_aa",
          P("mode", I32, 0))
LS_OP_ROW(ARGMAX, "argmax", ORDER, EXACT, 0, "ARGMAX", "argmax")
LS_OP_ROW(ARGMIN, "argmin", ORDER, EXACT, 0, "", "argmin")
LS_OP_ROW(ARGSORT, "argsort", ORDER, EXACT, 0, "ARGSORT", "argsort", P("order", I32, 0))
LS_OP_ROW(SORT, "sort", ORDER, EXACT, 0, "", "sort")
LS_OP_ROW(TOP_K, "top_k", ORDER, EXACT, 0, "TOP_K", "topk")

/* Constants, made only from parameters. */
LS_OP_ROW(ARANGE, "arange", CONSTANT, ROUNDED, 0, "ARANGE", "arange", P("start", F32, 0), P("stop", F32, 1), P("step", F32, 2))
LS_OP_ROW(FILL, "fill", CONSTANT, EXACT, 0, "FILL", "full full_like new_full scalar_tensor fill", P("value", F32, 0))
LS_OP_ROW(ZEROS, "zeros", CONSTANT, EXACT, 0, "", "zeros zeros_like new_zeros zero")
LS_OP_ROW(ONES, "ones", CONSTANT, EXACT, 0, "", "ones ones_like new_ones")
LS_OP_ROW(LINSPACE, "linspace", CONSTANT, ROUNDED, 0, "", "linspace")
LS_OP_ROW(TIMESTEP_EMBEDDING, "timestep_embedding", CONSTANT, ROUNDED, LS_OP_ANGULAR, "TIMESTEP_EMBEDDING", "", P("dim", I32, 0), P("max_period", I32, 1))

/* State carried from token to token. */
LS_OP_ROW(SSM_CONV, "ssm_conv", RECURRENCE, ROUNDED, LS_OP_MULTIPLIES, "SSM_CONV", "")
LS_OP_ROW(SSM_SCAN, "ssm_scan", RECURRENCE, ROUNDED, LS_OP_MULTIPLIES, "SSM_SCAN", "", P("snapshots", I32, 0))
LS_OP_ROW(RWKV_WKV6, "rwkv_wkv6", RECURRENCE, ROUNDED, LS_OP_MULTIPLIES, "RWKV_WKV6", "")
LS_OP_ROW(RWKV_WKV7, "rwkv_wkv7", RECURRENCE, ROUNDED, LS_OP_MULTIPLIES, "RWKV_WKV7", "")
LS_OP_ROW(GATED_LINEAR_ATTN, "gated_linear_attn", RECURRENCE, ROUNDED, LS_OP_MULTIPLIES, "GATED_LINEAR_ATTN", "", P("scale", F32, 0))
LS_OP_ROW(GATED_DELTA_NET, "gated_delta_net", RECURRENCE, ROUNDED, LS_OP_MULTIPLIES, "GATED_DELTA_NET", "", P("snapshots", I32, 0))
LS_OP_ROW(LIGHTNING_INDEXER, "lightning_indexer", OTHER, ROUNDED, LS_OP_MULTIPLIES, "LIGHTNING_INDEXER", "")
LS_OP_ROW(HC_COMB, "hc_comb", OTHER, ROUNDED, LS_OP_MULTIPLIES, "DSV4_HC_COMB", "", P("eps", F32, 0), P("rounds", I32, 1))
LS_OP_ROW(HC_PRE, "hc_pre", OTHER, ROUNDED, LS_OP_MULTIPLIES, "DSV4_HC_PRE", "", P("scale", F32, 0), P("gated", I32, 1))
LS_OP_ROW(HC_POST, "hc_post", OTHER, ROUNDED, LS_OP_MULTIPLIES, "DSV4_HC_POST", "")
LS_OP_ROW(LSTM, "lstm", RECURRENCE, ROUNDED, LS_OP_MULTIPLIES, "", "lstm mkldnn_rnn_layer _thnn_fused_lstm_cell LSTM")
LS_OP_ROW(GRU, "gru", RECURRENCE, ROUNDED, LS_OP_MULTIPLIES, "", "gru GRU")

/* Training, and user-defined functions. */
LS_OP_ROW(BACKWARD, "backward", OTHER, ROUNDED, 0, "REPEAT_BACK SILU_BACK RMS_NORM_BACK GET_ROWS_BACK SOFT_MAX_BACK ROPE_BACK IM2COL_BACK POOL_2D_BACK FLASH_ATTN_BACK CROSS_ENTROPY_LOSS_BACK", "")
LS_OP_ROW(CROSS_ENTROPY_LOSS, "cross_entropy_loss", REDUCTION, ROUNDED, 0, "CROSS_ENTROPY_LOSS", "cross_entropy nll_loss")
LS_OP_ROW(OPTIMIZER_STEP, "optimizer_step", OTHER, ROUNDED, 0, "OPT_STEP_ADAMW OPT_STEP_SGD", "")
LS_OP_ROW(CUSTOM, "custom", OTHER, ROUNDED, 0, "CUSTOM MAP_CUSTOM1 MAP_CUSTOM2 MAP_CUSTOM3 MAP_UNARY MAP_BINARY MAP_CUSTOM1_F32 MAP_CUSTOM2_F32 MAP_CUSTOM3_F32 UNARY", "")
