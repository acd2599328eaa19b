#include "tests/helper_onnx_cases.h"

#include "tests/helper_onnx_model.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

const char *const onnx_cases[] = {
    /* folded */
    "c Slice f4x6 i0,1 i3,5 i0,1 i1,2",
    "c Slice f4x6 i-1 i-100 i1 i-2",
    "c Slice i5,6,7,8 i1 i3",
    "c Gather f4x3 i0,-1 axis=0",
    "c Gather shape n1",
    "c Concat f2x3 f2x3 axis=1",
    "c Concat i1,2 i i3 axis=0",
    "c Shape f2x3",
    "c Shape f2x3x4 start=-2 end=3",
    "c Size f2x3",
    "c Reshape f2x6 i3,-1",
    "c Reshape f2x6 i0,2,3",
    "c Squeeze f1x3x1 i0",
    "c Squeeze f1x3x1",
    "c Unsqueeze f3 i0,2",
    "c Transpose f2x3x4 perm=2,0,1",
    "c Transpose f2x3",
    "c Expand f1x3 i2,3",
    "c Range n1 n9 n3",
    "c Range v0 v2 v0.5",
    "c ConstantOfShape i2,3",
    "c Constant value_float~0.5",
    "c Constant value_floats~0.5,2",
    "c Constant value_int=3",
    "c Constant value_ints=3,4",
    "c Identity f2x3",
    "c Cast f2x3 to=7",
    "c Cast i1,2 to=1",
    "c CastLike i1,2 f",
    "c Where b1,0,1 f3 f3",
    "c Where b1,0,1 i1,2,3 n7",
    "c Clip f2x3 f f",
    "c Clip f2x3 min~0.25 max~0.5",
    "c Add f2x3 f3",
    "c Add i1,2 n3",
    "c Sub i1,2 n3",
    "c Mul i1,2 n3",
    "c Div i7,8 n-3",
    "c Mod i7,-8 n3",
    "c Mod f2 f2 fmod=1",
    "c Pow f2x3 f",
    "c Min f2x3 f3 f",
    "c Max i1,5 i4,2",
    "c And b1,0 b1,1",
    "c Or b1,0 b1,1",
    "c Not b1,0",
    "c Equal i1,2 n2",
    "c Greater f3 f",
    "c GreaterOrEqual i1,2 n2",
    "c Less i1,2 n2",
    "c LessOrEqual f3 f",
    "c Abs i-1,2",
    "c Neg i-1,2",
    "c Sign i-1,0,2",
    "c Sign f3",
    "c Ceil f3",
    "c Floor f3",
    "c Round f3",
    "c Exp f3",
    "c Log f3",
    "c Sqrt f3",
    "c Reciprocal f3",
    "c ReduceL1 f2x3 axes=1,",
    "c ReduceL2 f2x3 i1 keepdims=0",
    "c ReduceMax f2x3 axes=-1,",
    "c ReduceMean f2x3",
    "c ReduceMin i3,1 axes=0,",
    "c ReduceProd i3,2",
    "c ReduceSum f2x3 i0 noop_with_empty_axes=1",
    "c ReduceSumSquare f2x3x2 axes=0,2",
    "c BatchNormalization f1x3 f3 f3 f3 f3",
    "c ConstantOfShape i2,3 value@v0.5,",
    "c ConstantOfShape i2,3 value@i7",
    "c ConstantOfShape i2,3 value@n7",
    "c Cast f2x3 to=11",
    "c Add>L v1 v2 | CastLike i1,2 L",
    "c Add>L i1 i2 | CastLike v0.5,1.5 L",
    "c Identity>L i1,2 | CastLike v0.5,1.5 L",
    "c Max v1,2 v3 v0,9",
    "c Neg i1,2",
    "c Sub n0 i1,2",
    "c Shape i1,2 start=0 end=1",
    "c BatchNormalization f2x3x2 f3 f3 f3 f3 epsilon~0.1",
    "c Cast i1,2 to=16",
    "c Cast i1,2 to=13",
    "c CastLike i1,2 v0.5",
    "c Add i1,2 i2 | Cast p to=1",
    "c Concat f2x3 f2x3 f2x3 axis=0",
    "c Reshape f2x6 i3,-1,2",
    "c Gather f2x3 n1 axis=0",
    "c Gather f2x3 n1 axis=-1",
    "c Gather f2x3x4 i0,1 axis=1",
    "c Transpose f2x3x4 perm=0,2,1",
    "c Slice f4x6 i0 i3 i1 i2",
    "c Slice i5,6,7,8 i-1 i-9 i0 i-1",
    "c Constant value@f2x3",
    "c Constant value@i3,4",
    "c Cast i0,1,-2 to=9",
    "c Cast v0,0.25,-2.75 to=9",
    "c Cast v0,0.25,-2.75 to=7",
    "c Cast i300,-300 to=2",
    "c Cast i300,-300 to=3",
    "c Cast i40000,-40000 to=4",
    "c Cast i40000,-40000 to=5",
    "c Cast i4294967298,-1 to=12",
    "c Cast i4294967298,-1 to=6",
    "c Cast f2x3 to=10",
    "c CastLike i1,2 b1,0",
    "c CastLike v0.25,2 i1,2",
    "c Add v1,2 f2x2",
    "c Sub v1,2 f2x2",
    "c Equal v1,2 v1,3",
    "c Greater i1,2 n1",
    "c Less v1,2 v1.5",
    "c Where b1,0 v1,2 v3,4",
    "c Min i1,5 i4,2",
    "c Neg v1,2",
    "c Abs v-1,2",
    "c Not b1,0,0",
    "c ReduceMax i1,5,4",
    "c ReduceMin f2x3 axes=0,",
    "c ReduceMean v1,2,4,5",
    "c ReduceL1 v-1,2",
    "c ReduceSum i1,2 keepdims=0",
    "c Concat f1x2x3 f1x2x3 axis=-2",
    "c Gather f3x4 i2,-3 axis=1",
    "c Slice f3x4 starts=0,1 ends=2,100",
    "c Unsqueeze f3 axes=0,2",
    "c Squeeze f1x3x1 axes=0,",
    "c Transpose f2x3 perm=-1,0",
    /* layers */
    "x Abs x",
    "x Add x f3x1x1",
    "x Add x x",
    "x Add f x",
    "x Sub x f3x1x1",
    "x Sub f3x1x1 x",
    "x Mul x f3x1x1",
    "r Mul x f1x1x1x3x8x8",
    "x Div x f",
    "r Div f x",
    "x Exp x | Add p v1 | Log p",
    "r Pow x f",
    "x Sigmoid x | Mul x p",
    "x Min x f",
    "x Max x f",
    "r Max x x",
    "x Neg x | Max x p | Sub p x",
    "r Add x f3 axis=1 broadcast=1",
    "x AveragePool x kernel_shape=2,2 strides=2,2 pads=1,1,1,1 count_include_pad=1",
    "x AveragePool x kernel_shape=3,3 auto_pad:SAME_UPPER ceil_mode=1",
    "x MaxPool x kernel_shape=2,2 strides=2,2 dilations=1,1",
    "x MaxPool x kernel_shape=3,3 auto_pad:VALID storage_order=0",
    "x MaxPool x kernel_shape=3,3 auto_pad:NOTSET pads=1,1,1,1",
    "x BatchNormalization x f3 f3 f3 f3 epsilon~0.001",
    "x Cast x to=1",
    "x Celu x alpha~2",
    "x Clip x f f",
    "x Clip x min~0 max~6",
    "x Concat x x axis=1",
    "r Concat x x axis=-2",
    "x GlobalAveragePool x | Concat p p axis=1 | Conv p f2x6x1x1",
    "x Conv x f4x3x3x3 f4 pads=1,1,1,1 strides=2,2",
    "x Conv x f3x1x3x3 group=3 dilations=2,2 kernel_shape=3,3",
    "x Conv x f4x3x1x1 auto_pad:SAME_LOWER",
    "x Dropout x f",
    "x Elu x alpha~1",
    "x Expand x i1,3,8,8",
    "x Flatten x axis=1",
    "x Flatten x axis=-3",
    "x Gather x i2,0,1 axis=1",
    "r Gather x n-1 axis=2",
    "x GlobalAveragePool x | Squeeze p i2,3 | Gather p i0,2 axis=-1",
    "x Shape x | Gather p n0 | Unsqueeze p i0 | Concat p i-1 axis=0 | Reshape x p",
    "x Gelu x approximate:tanh",
    "x Gelu x approximate:none",
    "x GlobalAveragePool x | Flatten p | Gemm p f5x3 f5 transB=1",
    "x GlobalAveragePool x | Flatten p | Gemm p f3x5 f5 alpha~0.5 beta~2 transA=0",
    "x ReduceMean x axes=2,3 keepdims=0 | MatMul p f3x4 | Add p f4",
    "x GlobalAveragePool x",
    "x GlobalMaxPool x",
    "x GroupNormalization x f3 f3 num_groups=3 epsilon~0.001",
    "x HardSigmoid x alpha~0.2 beta~0.5",
    "x HardSwish x",
    "x Identity x",
    "x InstanceNormalization x f3 f3 epsilon~0.001",
    "x Transpose x perm=0,2,3,1 | LayerNormalization p f3 f3 axis=-1 epsilon~0.001 | Transpose p perm=0,3,1,2",
    "x Transpose x perm=0,2,3,1 | MatMul p f3x4 | Add p f4 | Transpose p perm=0,3,1,2",
    "x LayerNormalization x f3x8x8 f3x8x8 axis=1",
    "x LeakyRelu x alpha~0.1",
    "x LogSoftmax x axis=1",
    "x LpNormalization x axis=1 p=2",
    "x Mean x x",
    "x Mish x",
    "x Neg x",
    "x PRelu x f3x1x1",
    "x PRelu x f",
    "x Pad x i0,0,1,1,0,0,1,1 f mode:constant",
    "x Pad x pads=0,0,1,1,0,0,1,1 mode:reflect",
    "x Pad x i1,1,-1,1 _ i2,3 mode:edge",
    "x Pad x i0,1,0,0,0,2,0,0 f",
    "x ReduceMean x axes=2,3 keepdims=0",
    "x ReduceMean x i1 keepdims=1",
    "x ReduceMax x axes=2,3",
    "x ReduceSum x i2,3",
    "x ReduceL2 x axes=1, keepdims=1 | Max p f | Div x p",
    "r ReduceMean x axes=1, | Sub x p | Mul p p | ReduceMean p axes=1, | Add p f | Sqrt p",
    "r Pow x v2 | ReduceMean p axes=1, | Add p v1e-6 | Sqrt p | Div x p",
    "r ReduceSumSquare x i2,3 keepdims=1",
    "x Relu x",
    "x Reshape x i0,-1",
    "x Reshape x i0,3,64 | Transpose p perm=0,2,1 | Transpose p perm=0,2,1 | Reshape p i0,3,8,8",
    "x Reshape x i0,3,64 | InstanceNormalization p f3 f3 | Reshape p i0,3,8,8",
    "x Concat x x axis=1 | Reshape p i0,2,3,8,8 | Transpose p perm=0,2,1,3,4 | Reshape p i0,6,8,8",
    "r Reshape x i0,3,2,4,8",
    "x Resize x _ v1,1,2,2",
    "x Resize x _ _ i1,3,16,16 mode:linear coordinate_transformation_mode:half_pixel",
    "x Resize x _ _ i16,16 axes=2,3 mode:nearest nearest_mode:floor coordinate_transformation_mode:asymmetric",
    "x Resize x _ _ i1,3,5,4 mode:linear coordinate_transformation_mode:align_corners",
    "x Upsample x scales~1,1,2,2 mode:nearest",
    "x Upsample x scales~1,1,2,2 mode:linear",
    "x Selu x",
    "x Sigmoid x",
    "r Shape x",
    "x Slice x i1 i3 i1",
    "x Slice x i0,0 i8,8 i2,3 i2,2",
    "x Slice x i-1 i-100 i1 i-1",
    "x Slice x starts=1, ends=3, axes=1,",
    "x Softmax x axis=1",
    "x Softplus x",
    "x Softsign x",
    "x Split/2 x i1,2 axis=1",
    "x SplitToSequence x i1,2 axis=1 | SequenceAt p n1",
    "x SplitToSequence x n9223372036854775807 axis=1 | SequenceAt p n0",
    "x SplitToSequence x n1 axis=1 keepdims=1 | SequenceAt p n-1",
    "x Split/2 x split=1,2 axis=1",
    "x Split/2 x axis=2 num_outputs=2",
    "x GlobalAveragePool x | Squeeze p",
    "x GlobalAveragePool x | Squeeze p axes=2,3 | Unsqueeze p axes=2,3",
    "x GlobalAveragePool x | Squeeze p i-1 | Unsqueeze p i3",
    "x Sum x x x",
    "x Sum x",
    "x Swish x alpha~1",
    "x Tanh x",
    "x ThresholdedRelu x alpha~0",
    "x Transpose x perm=0,2,3,1 | ReduceMean p axes=1,2 keepdims=0",
    "r Transpose x perm=0,1,3,2",
    "r Greater x f | Where p x f",
    "x Div x v1.4142135 | Erf p | Add p v1 | Mul x p | Mul p v0.5",
    "x Mul x v0.70710677 | Erf p | Add p v1 | Mul x p | Mul p v0.5",
    "x Exp x | Add p v1 | Log p | Tanh p | Mul x p",
    "x Add x v3 | Clip p v0 v6 | Div p v6 | Mul x p",
    "x Neg x | Exp p | Add p v1 | Reciprocal p",
    "x Abs x | Add p v1 | Div x p",
    /* norms in pieces */
    "r Transpose x perm=0,2,3,1 | ReduceL2 p axes=3, keepdims=1",
    "x ReduceSumSquare x axes=1, keepdims=1 | Sqrt p | Clip p v1e-6 | Div x p",
    "x ReduceL1 x axes=1, keepdims=1 | Clip p v1e-6 | Div x p",
    "x ReduceL2 x axes=1, keepdims=1 | Clip p v1e-6 | Expand p i1,3,8,8 | Div x p",
    "x ReduceL2 x axes=1, keepdims=1 | Clip p min~0.01 | Div x p",
    "r ReduceL2 x axes=1, keepdims=1 | Clip p v0.1 v0.2 | Div x p",
    "r ReduceL2 x axes=2, keepdims=1 | Max p f | Div x p",
    "r ReduceL2 x axes=1, keepdims=1 | Div p x",
    "x Mul x x | ReduceSum p axes=1, keepdims=1 | Sqrt p | Max p v1e-6 | Div x p",
    "x Pow x v2 | ReduceSum p axes=1, keepdims=1 | Pow p v0.5 | Max p v1e-6 | Div x p",
    "r Pow x v3 | ReduceSum p axes=1, keepdims=1 | Pow p v0.5 | Max p v1e-6 | Div x p",
    "x ReduceMean>M x axes=1, | Sub>D x M | Mul p D | ReduceMean p axes=1, | Add p v1e-5 | Sqrt p | Div D p",
    "x ReduceMean>M x axes=1,2,3 | Sub>D x M | Pow p v2 | ReduceMean p axes=1,2,3 | Add p v1e-5 | Sqrt p | Div D p",
    "x ReduceMean>M x axes=2,3 | Sub>D x M | Pow p v2 | ReduceMean p axes=2,3 | Add p v1e-5 | Pow p v-0.5 | Mul D p",
    "x ReduceMean>M x axes=1, | Expand p i1,3,8,8 | Sub>D x p | Mul p p | ReduceMean p axes=1, | Add p v1e-5 | Sqrt p "
    "| "
    "Reciprocal p | Mul p D",
    "x ReduceMean>M x axes=1, | Sub>D x M | Mul p p | ReduceMean p axes=1, | Add v1e-5 p | Sqrt p | Div v1 p | Mul D p",
    "x Transpose>X x perm=0,2,3,1 | ReduceMean>M X axes=3, | Sub>D X M | Mul p D | ReduceMean p axes=3, | Add p v1e-5 "
    "| "
    "Sqrt p | Div D p | Transpose p perm=0,3,1,2",
    "r ReduceMean>M x axes=1, | Sub>D x M | Mul p D | ReduceMean p axes=2, | Add p v1e-5 | Sqrt p | Div D p",
    "r ReduceMean>M x axes=2, | Sub>D x M | Mul p D | ReduceMean p axes=2, | Add p v1e-5 | Sqrt p | Div D p",
    "r ReduceMean>M x axes=1, | Sub>D x M | Mul p D | ReduceMean p axes=1, | Add p v1e9 | Sqrt p | Div D p",
    "r ReduceMean>M x axes=1, | Sub>D x M | Mul p D | ReduceMean p axes=1, | Add p v-1 | Sqrt p | Div D p",
    "r ReduceMean>M x axes=1, | Sub>D M x | Mul p D | ReduceMean p axes=1, | Add p v1e-5 | Sqrt p | Div D p",
    "r ReduceMean>M x axes=1, | Sub>D x M | Relu>E D | Mul p E | ReduceMean p axes=1, | Add p v1e-5 | Sqrt p | Div D p",
    "r ReduceMean>M x axes=1, | Sub>D x M | Mul p D | ReduceMean p axes=1, | Add p v1e-5 | Sqrt p | Div p D",
    "r ReduceMean>M x axes=1, keepdims=0 | Unsqueeze p axes=1, | Sub>D x p | Mul p D | ReduceMean p axes=1, | Add p "
    "v1e-5 "
    "| Sqrt p | Div D p",
    "x GlobalAveragePool>G x | Expand>E p i1,3,8,8 | Add x E",
    "x ReduceMean x axes=1, | Expand p i1,3,8,8 | Sub p f3x1x1 | Div p f3x1x1",
    "x GlobalAveragePool x | Flatten p | ReduceMean p axes=1, | Expand p i1,3 | Add p f3",
    "x GlobalAveragePool x | Expand p i1,3,8,8 | Flatten p",
    "r GlobalAveragePool x | Expand p i1,3,8,8 | Reshape p i0,3,64 | Add p f3x64 | Reshape p i0,3,8,8",
    "x GlobalAveragePool>G x | Expand>E G i1,3,8,8 | ReduceL2 E axes=1, | Max p v1e-6 | Div E p",
    "r ReduceL2 x axes=1, | Max p v1e-6 | Expand>E p i1,3,16,16 | Div x E",
    "x Greater>G x v20 | Softplus x | Where G x p",
    "r Greater>G x v2 | Softplus x | Where G x p",
    "r Greater>G x f2 | Softplus x | Where G x p",
    "r Greater>G x v20 | Softplus>S x | Relu>R x | Where G R S",
    "r Relu>R x | Greater>G R v20 | Softplus>S x | Where G x S",
    "r Relu>R x | Greater>G x v20 | Softplus>S R | Where G x S",
    "r Greater>G x v20 | Relu>S x | Where G x S",
    "r Less>G x v20 | Softplus>S x | Where G x S",
    "x Sigmoid>S x | Relu>R x | Add>A R S | Mul>B A R | Concat A B axis=1",
    "x Conv>C x f4x3x1x1 | Relu>R p | Conv p f4x4x1x1 | Add p C | Relu p",
    "x Relu>A x | Slice>B A i0 i1 i1 | Slice>C A i1 i3 i1 | Concat B C axis=1",
    "x Relu>A x | Split>B/2 A i1,2 axis=1 | Concat second B axis=1",
    "x ConstantOfShape>Z i4 | Conv x f4x3x1x1 Z",
    "x ConstantOfShape>Z i4 value@v1, | Conv x f4x3x1x1 Z",
    "x Identity>B f4 | Conv x f4x3x1x1 B",
    "x GlobalAveragePool x | Flatten>F p | Transpose>T f5x3 perm=1,0 | MatMul F T",
    "x GlobalAveragePool x | Flatten>F p | Transpose>T f3x5 perm=0,1 | MatMul F T",
    "x GlobalAveragePool x | Flatten>F p | Transpose>T f3x5 | Gemm F T transB=1",
    "x GlobalAveragePool x | Flatten>F p | Identity>I f5x3 | Transpose>T I | Gemm F T alpha~2",
    "x GlobalAveragePool x | Flatten>F p | Transpose>T f1x5x3 perm=0,2,1 | Squeeze>S T axes=0, | Gemm F S",
    "x GlobalAveragePool x | Flatten>F p | Gemm F f5x3 n0 transB=1",
    "r GlobalAveragePool x | Flatten>F p | Gemm F f5x3 f5x1 transB=1",
    "x GlobalAveragePool x | Flatten>F p | Gemm F f5x3 v0 transB=1 beta~0",
    "x Concat x x axis=1 | GroupNormalization p v1,2 v0.5,1 num_groups=2",
    "x Concat x x axis=1 | GroupNormalization p v1,1 v0,0 num_groups=2",
    "x Concat x x axis=1 | GroupNormalization p v1,1 v0,1 num_groups=2",
    "x Concat x x axis=1 | GroupNormalization p f6 f6 num_groups=2",
    "r Concat x x axis=1 | GroupNormalization p f6 f6 num_groups=4",
    "r GroupNormalization x f3 f3 num_groups=3 epsilon~-1",
    "r LayerNormalization x f8 f8 axis=3 epsilon~nan",
    "x ReduceMean x noop_with_empty_axes=1",
    "x ReduceMean x i noop_with_empty_axes=1",
    "r SplitToSequence x i-1,4 axis=1 | SequenceAt p n0",
    "r SplitToSequence x i2,5 axis=1 | SequenceAt p n1",
    "r SplitToSequence x i1,2 axis=1 | SequenceAt p n5",
    "r SplitToSequence x i1,2 axis=0 | SequenceAt p n0",
    "r SplitToSequence x i1,2 axis=1 | SequenceAt p i0,1",
    "r Relu x | SequenceAt p n0",
    "x CastLike x f",
    "x CastLike x x",
    "r CastLike x i3",
    "r Reshape x i2,3,8,8",
    "r Reshape x i0,-1,-1",
    "r Reshape x i0,3,8,8,0",
    "r Unsqueeze x axes=1,1",
    "r Unsqueeze x axes=9,",
    "x Transpose x perm=0,-1,-3,-2 | Transpose p perm=0,2,3,1",
    "r Transpose x",
    "r Expand x i2,3,8,8",
    "r Expand x f",
    "r Resize x _ v1,1,-1,2",
    "r Resize x _ v2,1,1,2",
    "r Resize x _ _ i1,3,0,2",
    "r Resize x _ _ i1,3,70000,2",
    "r Resize x _ v1,1,2,2 mode:linear coordinate_transformation_mode:tf_crop_and_resize",
    "x Resize x _ v1,1,2,2 mode:linear coordinate_transformation_mode:tf_half_pixel_for_nn",
    "x Resize x _ v1,1,2,1 mode:linear coordinate_transformation_mode:tf_half_pixel_for_nn",
    "x Resize x _ v1,1,2,1 nearest_mode:ceil",
    "x Resize x _ v1,1,1,2 nearest_mode:round_prefer_ceil",
    "x Resize x _ _ i1,3,8,16 mode:linear coordinate_transformation_mode:align_corners",
    "r Pad x i0,0,-9,0,0,0,0,0",
    "r Pad x i0,0,-4,0,0,0,-4,0",
    "r Pad x i0,-2,0,0,0,-2,0,0",
    "r Pad x i0,0,1,0,0,0,0,0 v1,2",
    "r Pad x i0,0,1,0,0,0,0,0 v1e39",
    "r Pad x i1,0,0,0,0,0,0,0",
    "r Pad x i1,1,1",
    "r Conv x f4x3x3x3 kernel_shape=5,5",
    "r Conv x f4x3x3x3 strides=0,1",
    "r Conv x f1x3x9x9",
    "r Conv x f4x3x1x1 f3",
    "r Conv x f4x3x1x1 group=0",
    "r Conv x f4x1x1x1 group=2",
    "r Conv x f4x3x1x1 auto_pad:OTHER",
    "r Mul x f4x1x1",
    "r Add x f2x3x1x1",
    "r Add x f1x1x3x8x8",
    "r Concat x axis=0",
    "r Split/2 x i1,1 axis=1",
    "r Split/2 x i-1,4 axis=1",
    "r Slice x i0 i3 i1 i1,1",
    "r Slice x i0,1 i3 i1",
    "r Slice x i0 i1 i0",
    "r Gather x i0 axis=7",
    "r Gather x b1,0 axis=0",
    "r PRelu x f3x8x8",
    "r PRelu x i3",
    "r Clip x f2 f",
    "r LpNormalization x axis=2 p=2",
    "x LpNormalization x axis=1 p=1",
    "r LpNormalization x axis=1 p=3",
    "r Softmax x axis=0",
    "x Transpose x perm=0,2,3,1 | Softmax p axis=3 | Transpose p perm=0,3,1,2",
    "r BatchNormalization x f3 f3 f3 f4",
    "r BatchNormalization x f3 f3 f3 f3 epsilon~-1",
    "r BatchNormalization x f3 f3 f3 f3 momentum~nan",
    /* sizes that are computed from the batch */
    "x Shape x | Gather p n0 | Mul p n1 | Unsqueeze p i0 | Concat p i-1 axis=0 | Reshape x p",
    "x Shape x | Slice p i0 i1 | Concat p i3,-1 axis=0 | Reshape x p | Reshape p i0,3,8,8",
    "x Shape x start=0 end=1 | Cast p to=6 | Cast p to=7 | Concat p i3,8,8 axis=0 | Reshape x p",
    "r Resize x _ v1,1,2,2 mode:cubic",
    "x Resize x _ v1,1,0.5,0.5 mode:linear antialias=0",
    "r Resize x _ v1,1,0.5,0.5 mode:linear antialias=1",
    "r Resize x _ v1,1,0.5,0.5 keep_aspect_ratio_policy:not_larger",
    "x Resize x _ _ i1,3,16,16 keep_aspect_ratio_policy:stretch",
    "x Resize x _ _ i1,3,5,4 mode:linear coordinate_transformation_mode:half_pixel_symmetric",
    "x Resize x _ _ i1,3,1,1 mode:linear coordinate_transformation_mode:pytorch_half_pixel",
    "x Resize x _ _ i1,3,16,8 mode:linear coordinate_transformation_mode:asymmetric",
    "x Resize x _ v2,2 axes=-2,-1 mode:linear",
    "x Pad x i1,1,1,1 f i-2,-1 mode:constant",
    "r Pad x i0,1,0,0,0,0,0,0 v2 mode:edge",
    "x Pad x i0,0,-1,-1,0,0,-1,-1",
    "x GlobalAveragePool x | Expand p i1,3,4,4 | Pad p i0,0,1,1,0,0,1,1",
    "x Resize x _ _ i1,3,1,5 mode:linear coordinate_transformation_mode:align_corners",
    "x GlobalAveragePool x | Pad p i0,1,0,0,0,1,0,0 f | Flatten p",
    "x GlobalAveragePool x | Flatten p | Pad p i0,1,0,1 f",
    "x GlobalAveragePool x | Flatten p | Gemm p f3x5 transA=0 beta~0",
    "x GlobalAveragePool x | Flatten p | Gemm p f5x3 f1 transB=1 alpha~0.5",
    "x GlobalAveragePool x | Flatten p | Gemm p f5x3 f1x5 transB=1 beta~0.5",
    "x GlobalAveragePool x | Flatten p | MatMul p f3x4 | Sub p f4",
    "x Concat x x axis=1 | Split/2 p axis=1",
    "x AveragePool x kernel_shape=2,2 dilations=1,1",
    "r AveragePool x kernel_shape=2,2 dilations=2,1",
    "x MaxPool x kernel_shape=2,2 dilations=2,2",
    "x GlobalAveragePool x | ReduceSum p axes=1, keepdims=0",
    "x ReduceMean x axes=1,2,3 keepdims=0",
    "x ReduceMax x axes=2, keepdims=1 | ReduceMax p axes=3, keepdims=1",
    "x ReduceSum x axes=1,2,3 keepdims=1",
    "x ReduceMean x axes=3, keepdims=0 | ReduceMean p axes=2, keepdims=0",
    "x BatchNormalization x f3 f3 f3 f3 momentum~0.9 | BatchNormalization p f3 f3 f3 f3",
    "x Conv x f4x3x1x1 | Add p f4x1x1 | Mul p f4x1x1 | Add p f4x1x1",
    "x Conv x f4x3x1x1 | BatchNormalization p f4 f4 f4 f4",
    "x Conv x f3x3x1x1 | Sub x p",
    "x Sigmoid x | GlobalAveragePool p | Mul p x",
    "x GlobalAveragePool x | Sigmoid p | Mul x p",
    "x ReduceMean x axes=1, keepdims=1 | Sigmoid p | Mul x p",
    "x GlobalAveragePool x | Add x p",
    "x ReduceMean x axes=1, keepdims=1 | Add p x",
    "x ReduceMean x axes=2, keepdims=1 | Add p x",
    "x Add x f1x1x8",
    "x Add x f3x8x8",
    "x Mul x f1x3x1x1",
    "r Softplus x | Greater x v20",
    "x Gather x i0 axis=1 | Squeeze p i1 | Unsqueeze p i1",
    "r Gather x i0,0,3 axis=1",
    "x Slice x i0 i9223372036854775807 i0",
    "r Slice x i1 i2 i0",
    "r Slice x i0 i3 i1 i0",
    "x Identity x | Identity p",
};
const int onnx_case_count = sizeof onnx_cases / sizeof *onnx_cases;

const char *const onnx_ways[] = {
    "Relu x",
    "Transpose x perm=0,2,3,1",
    "Transpose x perm=0,1,3,2",
    "Transpose x perm=0,2,3,1 | Slice p i0 i1 i1",
    "Reshape x i0,-1",
    "Reshape x i0,3,64",
    "Reshape x i0,3,64 | Transpose p perm=0,2,1",
    "Reshape x i0,1,3,8,8",
    "Reshape x i-1,64",
    "Reshape x i0,3,2,4,8",
    "GlobalAveragePool x",
    "GlobalAveragePool x | Flatten p",
    "GlobalAveragePool x | Squeeze p i3",
    "GlobalAveragePool x | Flatten p | Reshape p i0,3,1",
    "GlobalAveragePool x | Flatten p | Reshape p i0,1,3",
    "GlobalAveragePool x | Expand p i1,3,8,8",
    "GlobalAveragePool x | Expand p i1,3,1,8 | Transpose p perm=0,2,3,1",
    "ReduceMean x axes=1, keepdims=1",
    "ReduceMean x axes=1, keepdims=1 | Expand p i1,3,8,8",
    "ReduceMean x axes=1, keepdims=0",
    "ReduceMean x axes=2, keepdims=1",
    "ReduceMean x axes=1,2,3 keepdims=1",
    "Concat x x axis=1 | Reshape p i0,2,3,8,8 | Transpose p perm=0,2,1,3,4 | Reshape p i0,6,8,8",
    "Concat x x axis=1 | Reshape p i0,2,3,8,8 | Transpose p perm=0,2,1,3,4",
    "Concat x x axis=1 | GlobalAveragePool p | Reshape p i0,2,3 | Transpose p perm=0,2,1 | Reshape p i0,6",
    "Exp x",
    "Greater x f",
    "Shape x",
    "Shape x | Gather p n0",
    "SplitToSequence x n1 axis=1",
};
const int onnx_way_count = sizeof onnx_ways / sizeof *onnx_ways;

const char *const onnx_identities[] = {
    "Identity x",
    "Cast x to=1",
    "Dropout x",
    "Mul x v1",
    "Add x v0",
    "Neg x | Neg p",
    "Transpose x perm=0,2,3,1 | Transpose p perm=0,3,1,2",
    "Reshape x i0,3,64 | Reshape p i0,3,8,8",
    "Flatten x | Reshape p i0,3,8,8",
    "Reshape x i0,1,3,8,8 | Squeeze p i1",
    "Unsqueeze x axes=1, | Squeeze p axes=1,",
    "Split/2 x i1,2 axis=1 | Concat p second axis=1",
    "Split/2 x split=1,2 axis=1 | Concat p second axis=1",
    "Slice x i0 i3 i1",
    "Slice x starts=0, ends=8, axes=2,",
    "Gather x i0,1,2 axis=1",
    "Gather x i2,1,0 axis=1 | Gather p i2,1,0 axis=1",
    "Slice x i-1 i-100 i1 i-1 | Slice p i-1 i-100 i1 i-1",
    "Expand x i1,3,8,8",
    "Concat x axis=1",
    "Concat x x axis=1 | Slice p i0 i3 i1",
    "Pad x pads=0,0,1,0,0,0,0,0 | Slice p i1 i9 i2",
    "AveragePool x kernel_shape=1,1",
    "MaxPool x kernel_shape=1,1",
    "Resize x _ v1,1,1,1",
    "Upsample x scales~1,1,1,1",
    "Sum x",
    "Max x",
    "Reshape x i0,3,64 | Transpose p perm=0,2,1 | Reshape p i0,8,8,3 | Transpose p perm=0,3,1,2",
    "Reshape x i0,3,2,4,8 | Reshape p i0,3,8,8",
    "Reshape x i0,3,2,4,8 | Transpose p perm=0,2,1,3,4 | Transpose p perm=0,2,1,3,4 | Reshape p i0,3,8,8",
    "Concat x x axis=1 | Reshape p i0,2,3,8,8 | Transpose p perm=0,2,1,3,4 | Reshape p i0,6,8,8 | Slice p i0 i6 i1 i2",
    "Concat x x axis=1 | Mul p f6x1x1 | Reshape p i0,2,3,8,8 | Transpose p perm=0,2,1,3,4 | Reshape p i0,6,8,8 | "
    "AveragePool p kernel_shape=1,1 | Reshape p i0,3,2,8,8 | Transpose p perm=0,2,1,3,4 | Reshape p i0,6,8,8 | "
    "Div p f6x1x1 | Slice p i3 i6 i1",
};
const int onnx_identity_count = sizeof onnx_identities / sizeof *onnx_identities;

enum {
    ATTRIBUTE_FLOAT = 2,
    ATTRIBUTE_STRING = 4,
    ATTRIBUTE_TENSOR = 5,
    ATTRIBUTE_FLOATS = 7,
    ATTRIBUTE_TYPE = 20,
    ONNX_BOOL = 9,
    VALUES = 256
};
enum { KIND_FLOAT = 1, KIND_INT = 2, KIND_STRING = 3, KIND_TENSOR = 4, KIND_FLOATS = 6, KIND_INTS = 7 };

static void put_floats(struct proto *graph, const char *name, const char *dims)
{
    int64_t sizes[16];
    float values[VALUES];
    int rank = 0;
    size_t count = 1;
    for (char *end; *dims && rank < 16; dims = *end == 'x' ? end + 1 : end) {
        sizes[rank] = strtoll(dims, &end, 10);
        count *= (size_t)sizes[rank++];
    }
    assert_true(count <= VALUES);
    for (size_t i = 0; i < count; i++)
        values[i] = 0.25f + 0.125f * (float)(i % 7);
    model_put_tensor(graph, name, ONNX_FLOAT, sizes, rank, values, count * sizeof *values);
}

static void put_numbers(struct proto *graph, const char *name, const char *text)
{
    float values[16];
    int64_t count = 0;
    const bool list = strchr(text, ',') != NULL;
    for (char *end; *text && count < 16; text = *end == ',' ? end + 1 : end)
        values[count++] = strtof(text, &end);
    model_put_tensor(graph, name, ONNX_FLOAT, &count, list, values, (size_t)count * sizeof *values);
}

static int read_ints(const char *text, int64_t values[16])
{
    int count = 0;
    for (char *end; *text && count < 16; text = *end == ',' ? end + 1 : end)
        values[count++] = strtoll(text, &end, 10);
    return count;
}

/* An initialiser for a word; the node's input is called as the word. */
static void put_constant(struct proto *graph, const char *word)
{
    int64_t values[16];
    uint8_t bools[16];
    const int count = read_ints(word + 1, values);
    for (int i = 0; i < count; i++)
        bools[i] = values[i] != 0;
    if (word[0] == 'f')
        put_floats(graph, word, word + 1);
    else if (word[0] == 'v')
        put_numbers(graph, word, word + 1);
    else if (word[0] == 'b')
        model_put_tensor(graph, word, ONNX_BOOL, (const int64_t[]){count}, 1, bools, (size_t)count);
    else
        model_put_tensor(graph, word, ONNX_INT64, (const int64_t[]){count}, word[0] == 'i', values,
                         (size_t)count * sizeof *values);
}

/* A tensor as an attribute: what would be the initialiser of the graph. */
static void put_tensor(struct proto *attribute, const char *word)
{
    struct proto graph = {0};
    struct proto_field tensor;
    put_constant(&graph, word);
    assert_true(proto_next(graph.bytes, graph.size, &(size_t){0}, &tensor));
    proto_bytes(attribute, ATTRIBUTE_TENSOR, tensor.bytes, tensor.size);
    proto_release(&graph);
}

static void put_attribute(struct proto *node, const char *word, char *value)
{
    struct proto attribute = {0};
    int64_t ints[16];
    const char kind = *value;
    const bool list = strchr(value, ',') != NULL;
    proto_bytes(&attribute, ATTRIBUTE_NAME, word, (size_t)(value - word));
    value++;
    if (kind == '@')
        put_tensor(&attribute, value);
    if (kind == ':')
        proto_text(&attribute, ATTRIBUTE_STRING, value);
    for (char *end; kind == '~' && *value; value = *end == ',' ? end + 1 : end)
        proto_float(&attribute, list ? ATTRIBUTE_FLOATS : ATTRIBUTE_FLOAT, strtof(value, &end));
    const int count = kind == '=' ? read_ints(value, ints) : 0;
    for (int i = 0; i < count; i++)
        proto_int(&attribute, list ? ATTRIBUTE_INTS : ATTRIBUTE_INT, ints[i]);
    proto_int(&attribute, ATTRIBUTE_TYPE,
              kind == ':'   ? KIND_STRING
              : kind == '@' ? KIND_TENSOR
              : kind == '~' ? (list ? KIND_FLOATS : KIND_FLOAT)
                            : (list ? KIND_INTS : KIND_INT));
    proto_message(node, NODE_ATTRIBUTE, &attribute);
}

/* Words that are constants of the model already. */
enum { WORDS = 32, NAME = 16 };
struct words {
    const char *words[WORDS];
    int count;
    const char *input;        /* what x means */
    const char *named[WORDS]; /* outputs with names of their own */
    int named_count;
    int outputs; /* names made so far */
};

/* One operator; before: the output of the one before it. Returns its own. */
static const char *put_operator(struct proto *graph, char *line, const char *before, const char *output,
                                struct words *seen)
{
    static const char *const outputs[] = {"x", "shape", "_", "p", "c", "floats", "sum", "second"};
    struct proto node = {0};
    char *rest, *op = strtok_r(line, " ", &rest), *two = op ? strchr(op, '/') : NULL,
                *name = op ? strchr(op, '>') : NULL;
    if (two)
        *two = '\0';
    if (name) {
        *name++ = '\0';
        output = name;
    }
    for (char *word; (word = strtok_r(NULL, " ", &rest));) {
        char *value = strpbrk(word, "=~:@");
        bool known = value != NULL;
        for (size_t i = 0; i < sizeof outputs / sizeof *outputs; i++)
            known = known || strcmp(outputs[i], word) == 0;
        for (int i = 0; i < seen->count; i++)
            known = known || strcmp(seen->words[i], word) == 0;
        for (int i = 0; i < seen->named_count; i++)
            known = known || strcmp(seen->named[i], word) == 0;
        if (!known) {
            assert_true(seen->count < WORDS);
            seen->words[seen->count++] = word;
            put_constant(graph, word);
        }
        if (value)
            put_attribute(&node, word, value);
        else
            proto_text(&node, NODE_INPUT,
                       strcmp(word, "_") == 0   ? ""
                       : strcmp(word, "p") == 0 ? before
                       : strcmp(word, "x") == 0 ? seen->input
                                                : word);
    }
    if (name) {
        assert_true(seen->named_count < WORDS);
        seen->named[seen->named_count++] = name;
    }
    proto_text(&node, NODE_OUTPUT, output);
    if (two)
        proto_text(&node, NODE_OUTPUT, "second");
    proto_text(&node, NODE_OP_TYPE, op ? op : "");
    proto_message(graph, GRAPH_NODE, &node);
    return output;
}

/* Operators with " | " between them. */
static void put_line(struct proto *graph, char *line, const char *output, struct words *seen)
{
    char name[NAME], before[NAME];
    snprintf(before, sizeof before, "%s", seen->input);
    while (line) {
        char *next = strstr(line, " | ");
        if (next)
            *next = '\0';
        snprintf(name, sizeof name, "t%d", seen->outputs++);
        const char *made = put_operator(graph, line, before, next ? name : output, seen);
        snprintf(before, sizeof before, "%s", made);
        line = next ? next + 3 : NULL;
    }
}

void onnx_case_model(struct proto *model, const char *way, const char *line, int shape, int opset)
{
    static const int64_t shapes[ONNX_CASE_SHAPES][6] = {
        {4, -1, 3, 8, 8},    {4, -1, 8, 8, 3}, {2, -1, 3},       {3, -1, 3, 8},
        {5, -1, 3, 4, 4, 4}, {4, 2, 3, 8, 8},  {4, -1, 3, 1, 1}, {1, 3}};
    struct proto graph = {0};
    struct words seen = {.input = "x"};
    char text[512], first[512];
    const bool constant = line[0] == 'c';
    snprintf(text, sizeof text, "%s", line + 2);
    snprintf(first, sizeof first, "%s", way ? way : "");
    model_put_value(&graph, GRAPH_INPUT, "x", ONNX_FLOAT, shapes[shape] + 1, (int)shapes[shape][0]);
    model_put_value(&graph, GRAPH_OUTPUT, "y", ONNX_FLOAT, NULL, 0);
    if (strstr(line, " shape"))
        put_line(&graph, (char[]){"Shape x"}, "shape", &seen);
    if (way) {
        put_line(&graph, first, "z", &seen);
        seen.input = "z";
    }
    put_line(&graph, text, constant ? "c" : "y", &seen);
    if (constant) {
        put_line(&graph, (char[]){"Cast c to=1"}, "floats", &seen);
        put_line(&graph, (char[]){"ReduceSum floats keepdims=0"}, "sum", &seen);
        put_line(&graph, (char[]){"Mul x sum"}, "y", &seen);
    }
    model_make(model, &graph, opset);
}

void onnx_case_behind(char out[512], const char *line, const char *way)
{
    int used = snprintf(out, 512, "%s |", line);
    for (const char *word = way; *word; word += strcspn(word, " ") + (word[strcspn(word, " ")] == ' ')) {
        const int length = (int)strcspn(word, " ");
        const bool input = length == 1 && *word == 'x';
        used += snprintf(out + used, 512 - (size_t)used, " %.*s", length, input ? "p" : word);
    }
}
