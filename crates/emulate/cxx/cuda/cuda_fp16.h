// See emu_cuda.h.
#include "emu_cuda.h"
