// What nearly every test includes, compiled once for all of them; includes in the tests stay explicit.
#pragma once

#include "base/precompiled.hpp"

#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <array>
#include <atomic>
#include <filesystem>
#include <fstream>
#include <functional>
#include <map>
#include <set>
#include <thread>
