"""Korean names of units, counters, currencies, letters and abbreviations."""


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


UNITS = {
    "kg": "킬로그램",
    "g": "그램",
    "mg": "밀리그램",
    "t": "톤",
    "km": "킬로미터",
    "m": "미터",
    "cm": "센티미터",
    "mm": "밀리미터",
    "L": "리터",
    "l": "리터",
    "mL": "밀리리터",
    "ml": "밀리리터",
    "dL": "데시리터",
    "cc": "시시",
    "ha": "헥타르",
    "㎏": "킬로그램",
    "㎞": "킬로미터",
    "㎝": "센티미터",
    "㎜": "밀리미터",
    "㎖": "밀리리터",
    "ℓ": "리터",
    "㎎": "밀리그램",
    "m²": "제곱미터",
    "m2": "제곱미터",
    "㎡": "제곱미터",
    "km²": "제곱킬로미터",
    "㎢": "제곱킬로미터",
    "m³": "세제곱미터",
    "㎥": "세제곱미터",
    "KB": "킬로바이트",
    "kB": "킬로바이트",
    "MB": "메가바이트",
    "GB": "기가바이트",
    "TB": "테라바이트",
    "Mbps": "메가비피에스",
    "Gbps": "기가비피에스",
    "Hz": "헤르츠",
    "kHz": "킬로헤르츠",
    "MHz": "메가헤르츠",
    "GHz": "기가헤르츠",
    "W": "와트",
    "kW": "킬로와트",
    "MW": "메가와트",
    "kWh": "킬로와트시",
    "V": "볼트",
    "mAh": "밀리암페어시",
    "dB": "데시벨",
    "kcal": "킬로칼로리",
    "cal": "칼로리",
    "px": "픽셀",
    "fps": "프레임",
    "ms": "밀리초",
    "hPa": "헥토파스칼",
    "ppm": "피피엠",
    "mi": "마일",
    "ft": "피트",
    "lb": "파운드",
    "oz": "온스",
    "%p": "퍼센트포인트",
    "%": "퍼센트",
    "‰": "퍼밀",
    "°": "도",
    "°F": "도",
    "℉": "도",
    "°C": "도",
    "℃": "도",
    "km/h": "킬로미터",
    "㎞/h": "킬로미터",
    "kph": "킬로미터",
    "m/s": "미터",
    "mph": "마일",
}
"""As they stand after the number."""

BEFORE = {"km/h": "시속", "㎞/h": "시속", "kph": "시속", "mph": "시속", "m/s": "초속", "°F": "화씨", "℉": "화씨"}
"""What is said before the number."""

CELSIUS = ("°C", "℃")

NATIVE = _words(
    "번째 시간 가지 군데 그루 송이 켤레 조각 그릇 방울 봉지 상자 박스 바퀴 걸음 포기"
    " 자루 다발 마리 사람 종류 곳 개 명 살 시 병 잔 권 장 대 번 벌 채 척 통 판 달"
    " 배 줄 칸 쌍 모금 끼 톨 편 곡 건 팀 정거장 묶음 자리 차례 글자 단어 문장 문제 컵 스푼 큰술 작은술 숟갈 접시"
    " 캔 팩 알 세트"
)
"""Counters that take native numerals below 100."""

SINO = _words(
    "개월 개국 개년 분기 년대 년도 년간 년 월 일간 일 분간 분 초 주년 주간 주일 주"
    " 인분 인실 인용 인 원 층 회 위 등급 등 호선 호실 호 도 점 세기 세대 세 학년"
    " 학기 페이지 쪽 달러 유로 엔 위안 킬로미터 킬로그램 킬로 미터 센티미터 센티 그램"
    " 리터 평 박 차 급 과 반 채널 통신 배송 배속 단계 번지 번길 번호 번가 번선 시대"
    " 장면 명령 대대 대로 통화 퍼센트 프로 동 교시 부 칼로리 기가 메가 톤"
)
"""Counters that take Sino-Korean numerals, among them those that begin like a native one."""

ATTACHED = ("년대", "년도", "년간", "년", "월", "일")
"""Written without a space before them."""

LABELLED = "출구|문제|버튼|게이트|항목|창구|버스|국도|트랙|선택|홈|타자|선수|메뉴|을 누|을 선택|으로 연|누르"
"""After these 번 is a number on a label (일 번 출구), else how often (한 번)."""

REMEMBERED = "절|전쟁|운동|혁명|광복|민주화|만세|사변|참전"
"""Before these two numbers with a point between them are a day in history."""

CURRENCIES = {"₩": ("원", ""), "$": ("달러", "센트"), "€": ("유로", "센트"), "£": ("파운드", "펜스"), "¥": ("엔", "")}
CURRENCIES["US$"] = CURRENCIES["$"]
SCALES = {"k": "천", "K": "천", "million": "백만", "M": "백만", "billion": "십억", "B": "십억", "trillion": "조"}

LETTERS = dict(
    zip(
        "ABCDEFGHIJKLMNOPQRSTUVWXYZ",
        _words(
            "에이 비 씨 디 이 에프 지 에이치 아이 제이 케이 엘 엠 엔 오 피 큐 알 에스 티 유 브이 더블유 엑스 와이 제트"
        ),
        strict=True,
    )
)

WORDS = {
    "NASA": "나사",
    "NATO": "나토",
    "UNESCO": "유네스코",
    "UNICEF": "유니세프",
    "FIFA": "피파",
    "OPEC": "오펙",
    "AIDS": "에이즈",
    "IKEA": "이케아",
    "JSON": "제이슨",
    "RAM": "램",
    "ROM": "롬",
    "LAN": "랜",
    "SIM": "심",
    "OK": "오케이",
    "COVID-19": "코로나 십구",
    "COVID": "코로나",
    "Wi-Fi": "와이파이",
    "WiFi": "와이파이",
    "Q&A": "큐앤에이",
    "R&D": "알앤디",
    "M&A": "엠앤에이",
    "A/S": "에이에스",
    "A4": "에이포",
    "MP3": "엠피쓰리",
    "MP4": "엠피포",
    "3D": "쓰리디",
    "2D": "투디",
    "4K": "포케이",
    "5G": "파이브지",
    "4G": "포지",
    "S3": "에스쓰리",
    "EC2": "이씨투",
    "IEEE": "아이트리플이",
    "C++": "씨플러스플러스",
    "B2B": "비투비",
    "B2C": "비투씨",
    "H2O": "에이치투오",
    "CO2": "씨오투",
    "O2O": "오투오",
    "24/7": "이십사시간 내내",
}
