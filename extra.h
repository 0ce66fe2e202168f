namespace metal { __F1(isnan_) float fmax(float,float); float fmin(float,float); struct simd_vote { typedef ulong vote_t; explicit operator vote_t() const; }; simd_vote simd_ballot(bool);
#define __AT2(as,n) template <class T> T n(as atomic<T>*, typename __id<T>::t, memory_order);
__AT2(device,atomic_fetch_max_explicit) __AT2(device,atomic_fetch_min_explicit) __AT2(device,atomic_fetch_or_explicit) __AT2(threadgroup,atomic_fetch_max_explicit) __AT2(threadgroup,atomic_fetch_min_explicit) __AT2(threadgroup,atomic_fetch_or_explicit) }
#define uchar4(...) __mk<uchar4>(__VA_ARGS__)
#define uchar2(...) __mk<uchar2>(__VA_ARGS__)
#define char4(...) __mk<char4>(__VA_ARGS__)
#define char2(...) __mk<char2>(__VA_ARGS__)
#define int4(...) __mk<int4>(__VA_ARGS__)
#define int2(...) __mk<int2>(__VA_ARGS__)
#define ushort4(...) __mk<ushort4>(__VA_ARGS__)
#define ushort2(...) __mk<ushort2>(__VA_ARGS__)
