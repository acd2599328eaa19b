/* How the teacher's values are stored and multiplied on a GPU. */
#ifndef SHARED_INFERENCE_CUDA_TEACHER_TYPES_H
#define SHARED_INFERENCE_CUDA_TEACHER_TYPES_H

/* Sums are float always. TF32 stores float and multiplies in tf32. */
enum teacher_precision { TEACHER_FP16, TEACHER_BF16, TEACHER_TF32, TEACHER_FP32 };

enum teacher_element { TEACHER_HALF, TEACHER_BFLOAT16, TEACHER_FLOAT };

#endif
