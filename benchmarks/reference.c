/* What mflib is measured against: loss and gradients (E04, E13, E14) as well as one can write them in C.

   A row of A and the row of its gradient stay in registers while the ratings of the row pass by, some at a time;
   rows of B are asked for before they are needed; rows are shared out among all cores. K factors and the BITS of
   a number are constants:

       cc -O3 -march=native -ffast-math -fopenmp -shared -fPIC -DK=32 -DBITS=32 -o reference.so reference.c      */

#include <stddef.h>
#include <stdint.h>
#ifdef __AVX2__
#include <immintrin.h>
#endif

#if BITS == 32
typedef float real;
#else
typedef double real;
#endif
#if defined(__AVX512F__) && K * BITS >= 512
#define BYTES 64
#else
#define BYTES 32
#endif
typedef real vector __attribute__((vector_size(BYTES), aligned(BITS / 8), may_alias));

#define LANES (BYTES * 8 / BITS)
#define WHOLE (K / LANES)                   /* vectors in a row */
#define REST (K % LANES)                    /* and numbers after them */
#define AHEAD (K * BITS > 4096 ? 8 : 16)    /* ratings between asking for a row and using it */
#define TOGETHER (K * BITS <= 1056 ? 4 : 1) /* ratings whose sums are made together */

#define INLINE static inline __attribute__((always_inline))
#define UNROLL _Pragma("GCC unroll 32") /* or rows would not be kept in registers */

/* the sums of the lanes of four vectors */
INLINE void sums(const vector *d, real *out) {
#if defined(__AVX2__) && BYTES == 64 && BITS == 32
#define HALVES(r) ((__m256)_mm512_castps512_ps256((__m512)d[r]) + (__m256)_mm512_extractf32x8_ps((__m512)d[r], 1))
#elif defined(__AVX2__) && BYTES == 64
#define HALVES(r) ((__m256d)_mm512_castpd512_pd256((__m512d)d[r]) + (__m256d)_mm512_extractf64x4_pd((__m512d)d[r], 1))
#elif BITS == 32
#define HALVES(r) ((__m256)d[r])
#else
#define HALVES(r) ((__m256d)d[r])
#endif
#if defined(__AVX2__) && BITS == 32
  __m256 h = _mm256_hadd_ps(_mm256_hadd_ps(HALVES(0), HALVES(1)), _mm256_hadd_ps(HALVES(2), HALVES(3)));
  _mm_storeu_ps(out, _mm_add_ps(_mm256_castps256_ps128(h), _mm256_extractf128_ps(h, 1)));
#elif defined(__AVX2__)
  __m256d low = _mm256_hadd_pd(HALVES(0), HALVES(1)), high = _mm256_hadd_pd(HALVES(2), HALVES(3));
  __m256d crossed = _mm256_permute2f128_pd(low, high, 0x21), straight = _mm256_blend_pd(low, high, 0xc);
  _mm256_storeu_pd(out, _mm256_add_pd(crossed, straight));
#else
  for (int r = 0; r < 4; r++) {
    out[r] = 0;
    for (int l = 0; l < LANES; l++) out[r] += d[r][l];
  }
#endif
}

/* `count` ratings from p on: Σ Δ² is returned, and Δ times the row of B added to the gradient g */
INLINE double ratings(const vector *a, const real *a_rest, vector *g, real *g_rest, const real *B,
                      const uint32_t *columns, const real *y, int64_t p, int64_t last, const int count) {
  const real *b[4];
  vector d[4];
  real residual[4];
  double squares = 0;
  UNROLL for (int r = 0; r < count; r++) {
    const real *ahead = B + (size_t)columns[p + r + AHEAD < last ? p + r + AHEAD : last] * K;
    UNROLL for (int l = 0; l < K; l += 512 / BITS) __builtin_prefetch(ahead + l);
    b[r] = B + (size_t)columns[p + r] * K;
    d[r] = a[0] * *(const vector *)b[r];
    UNROLL for (int t = 1; t < WHOLE; t++) d[r] += a[t] * *(const vector *)(b[r] + t * LANES);
  }
  UNROLL for (int r = count; r < 4; r++) d[r] = (vector){0};
  sums(d, residual);
  UNROLL for (int r = 0; r < count; r++) {
    UNROLL for (int l = 0; l < REST; l++) residual[r] += a_rest[l] * b[r][WHOLE * LANES + l];
    residual[r] = y[p + r] - residual[r];
    squares += (double)residual[r] * residual[r];
  }
  UNROLL for (int r = 0; r < count; r++) {
    UNROLL for (int t = 0; t < WHOLE; t++) g[t] += residual[r] * *(const vector *)(b[r] + t * LANES);
    UNROLL for (int l = 0; l < REST; l++) g_rest[l] += residual[r] * b[r][WHOLE * LANES + l];
  }
  return squares;
}

/* all rows of A: Σ Δ² is returned, row i of G becomes −(2/N) Σ_j Δ_ij b_j */
static double pass(const int64_t *starts, const uint32_t *columns, const real *y, const real *A, const real *B,
                   real *G, int64_t rows) {
  const real scale = -(real)2 / starts[rows];
  const int64_t last = starts[rows] - 1;
  double total = 0;
#pragma omp parallel for schedule(dynamic, 16) reduction(+ : total)
  for (int64_t i = 0; i < rows; i++) {
    vector a[WHOLE], g[WHOLE];
    real a_rest[REST + 1], g_rest[REST + 1];
    UNROLL for (int t = 0; t < WHOLE; t++) a[t] = *(const vector *)(A + i * K + t * LANES), g[t] = (vector){0};
    UNROLL for (int l = 0; l < REST; l++) a_rest[l] = A[i * K + WHOLE * LANES + l], g_rest[l] = 0;
    int64_t p = starts[i];
    for (; p + TOGETHER <= starts[i + 1]; p += TOGETHER)
      total += ratings(a, a_rest, g, g_rest, B, columns, y, p, last, TOGETHER);
    for (; p < starts[i + 1]; p++) total += ratings(a, a_rest, g, g_rest, B, columns, y, p, last, 1);
    UNROLL for (int t = 0; t < WHOLE; t++) *(vector *)(G + i * K + t * LANES) = scale * g[t];
    UNROLL for (int l = 0; l < REST; l++) G[i * K + WHOLE * LANES + l] = scale * g_rest[l];
  }
  return total;
}

/* The loss is returned, both gradients are written. */
double evaluate(const int64_t *user_starts, const uint32_t *items, const real *values, const int64_t *item_starts,
                const uint32_t *users, const real *values_by_item, const real *U, const real *V, real *grad_U,
                real *grad_V, int64_t n_users, int64_t n_items) {
  double squares = pass(user_starts, items, values, U, V, grad_U, n_users);
  pass(item_starts, users, values_by_item, V, U, grad_V, n_items);
  return squares / user_starts[n_users];
}
