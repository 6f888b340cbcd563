// The seeds of the fuzz targets, and every input that once broke one, through the same functions in every preset.
#include "fuzz/properties.hpp"

#include <catch2/catch.hpp>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <string>

using namespace scoregate;

namespace {

using property = void (*)(fuzz::input);

const std::map<std::string, property> targets{{"azureml_import", fuzz::azureml_import},
                                              {"chunked_body", fuzz::chunked_body},
                                              {"configuration", fuzz::configuration},
                                              {"dns_answer", fuzz::dns_answer},
                                              {"exchange", fuzz::exchange},
                                              {"forwarded_for", fuzz::forwarded_for},
                                              {"proxy_header", fuzz::proxy_header},
                                              {"reply_head", fuzz::reply_head},
                                              {"request_head", fuzz::request_head},
                                              {"routing", fuzz::routing},
                                              {"sni", fuzz::sni},
                                              {"token", fuzz::token}};

// How many files there were. A folder may be absent: git keeps none that is empty.
std::size_t replay(const std::filesystem::path& folder, property holds) {
    std::size_t count = 0;
    if (!std::filesystem::is_directory(folder)) return 0;
    for (const auto& entry : std::filesystem::directory_iterator(folder)) {
        std::ifstream file(entry.path(), std::ios::binary);
        const std::string bytes{std::istreambuf_iterator<char>(file), {}};
        INFO(entry.path().string());
        holds({reinterpret_cast<const std::uint8_t*>(bytes.data()), bytes.size()});
        ++count;
    }
    return count;
}

} // namespace

TEST_CASE("seeds and regressions of the fuzz targets") {
    const std::filesystem::path root = std::filesystem::path(SCOREGATE_SOURCE_DIR) / "tests" / "fuzz";
    for (const auto& [name, holds] : targets) {
        INFO(name);
        CHECK(replay(root / "corpus" / name, holds) >= 5);
        replay(root / "regressions" / name, holds); // a broken property aborts
    }
    for (const auto& entry : std::filesystem::directory_iterator(root / "targets"))
        CHECK(targets.count(entry.path().stem().string()) == 1);
    for (const auto* const inputs : {"corpus", "regressions"})
        if (std::filesystem::is_directory(root / inputs))
            for (const auto& entry : std::filesystem::directory_iterator(root / inputs))
                CHECK(targets.count(entry.path().filename().string()) == 1);
}
