#include "fuzz/properties.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t size) {
    scoregate::fuzz::request_head({bytes, size});
    return 0;
}
