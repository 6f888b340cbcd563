// libFuzzer's way into one property: SCOREGATE_FUZZ_TARGET is its name.
#include "fuzz/properties.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t size) {
    scoregate::fuzz::SCOREGATE_FUZZ_TARGET({bytes, size});
    return 0;
}
