"""Estimates of tokens against what a real tokenizer counted (OpenAI's o200k; the counts are written down here)."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from providers.service import Ask, Image, Message, Text, Tool, ToolCall, ToolResult
from providers.tokens import IMAGE, estimate, estimate_ask

COUNTED = {
    "English letter": (
        "Dear customer, we are very sorry for the inconvenience. We have checked your order from last we"
        "ek and can see that the wireless earphones have not been shipped yet. Because of a delay at our"
        " warehouse the parcel will leave today, and we will text you the tracking number as soon as it "
        "is on its way. If you would rather have your money back, please cancel the order on your accoun"
        "t page or contact customer service. Once again, please accept our apologies.",
        93,
    ),
    "English prose": (
        "The Industrial Revolution, which began in Britain in the late eighteenth century, transformed e"
        "conomies that had been based on agriculture and handicrafts into economies based on large-scale"
        " industry, mechanized manufacturing, and the factory system. New machines, new power sources, a"
        "nd new ways of organizing work made existing industries more productive and efficient. Railways"
        " and steamships carried goods across continents; cities grew at an unprecedented pace, often wi"
        "thout adequate housing or sanitation.",
        87,
    ),
    "Korean letter": (
        "고객님, 안녕하세요. 먼저 불편을 드려 대단히 죄송합니다. 지난주에 주문하신 무선 이어폰이 아직 배"
        "송되지 않은 것을 확인하였습니다. 물류 센터의 사정으로 출고가 지연되었으며, 오늘 중으로 발송될 "
        "예정입니다. 송장 번호는 발송 즉시 문자로 안내해 드리겠습니다. 혹시 환불을 원하시면 마이페이지에"
        "서 주문 취소를 신청하시거나 고객센터로 연락해 주시기 바랍니다. 다시 한번 사과의 말씀을 드리며, "
        "더 나은 서비스로 보답하겠습니다.",
        133,
    ),
    "Korean prose": (
        "조선 시대의 한양은 오늘날의 서울과 마찬가지로 정치와 경제, 문화의 중심지였다. 경복궁을 비롯한 "
        "다섯 궁궐이 도성 안에 자리하였고, 종로와 청계천 일대에는 상점이 늘어서 있었다. 인구는 십팔 세기"
        "에 이미 이십만 명을 넘었으며, 사대문을 통해 전국의 물자가 모여들었다. 세종대왕은 집현전 학자들"
        "과 함께 훈민정음을 창제하여 백성들이 쉽게 글을 읽고 쓸 수 있도록 하였다. 한글은 자음과 모음을 "
        "조합하여 음절을 이루는 과학적인 문자로 평가받는다.",
        157,
    ),
    "Korean chat": (
        "야 너 오늘 뭐해? 나 지금 강남역인데 같이 밥 먹을래? ㅋㅋㅋ 어제 본 드라마 진짜 재밌더라. 주인공"
        "이 갑자기 기억을 잃어버려서 완전 소름 돋았어 ㅠㅠ 다음 주까지 어떻게 기다리지... 아 맞다, 내일 "
        "회의 10시로 바뀐 거 들었지? 팀장님이 자료 3부씩 출력해 오래. 늦지 말고 와!",
        108,
    ),
    "Japanese letter": (
        "お客様、このたびはご不便をおかけして誠に申し訳ございません。先週ご注文いただいたワイヤレスイヤ"
        "ホンが、まだ発送されていないことを確認いたしました。物流センターの都合により出荷が遅れておりま"
        "すが、本日中に発送する予定です。お荷物の追跡番号は、発送後すぐにメールでお知らせいたします。返"
        "金をご希望の場合は、マイページからキャンセルの手続きを行うか、カスタマーサポートまでご連絡くだ"
        "さい。",
        128,
    ),
    "Japanese prose": (
        "江戸時代の日本では、商業の発達とともに都市の文化が花開いた。江戸の人口は十八世紀には百万人を超"
        "え、世界でも有数の大都市であったと考えられている。浮世絵や歌舞伎、俳諧といった庶民の娯楽が広ま"
        "り、寺子屋の普及によって読み書きのできる人々も増えていった。街道が整備され、伊勢参りなどの旅も"
        "盛んに行われるようになった。",
        131,
    ),
    "Chinese letter": (
        "尊敬的客户，您好！对于此次给您带来的不便，我们深表歉意。经核实，您上周订购的无线耳机尚未发货。"
        "由于物流中心的原因，出库有所延迟，预计将于今天内寄出。发货后，我们会立即通过短信将快递单号发送"
        "给您。如果您希望退款，请在个人中心申请取消订单，或者联系客服人员。再次向您表示诚挚的歉意，我们"
        "将努力为您提供更好的服务。",
        111,
    ),
    "Chinese prose": (
        "唐朝是中国历史上最为繁荣的朝代之一，首都长安是当时世界上规模最大的城市。来自西域、波斯和日本的"
        "商人与使节云集于此，丝绸之路的贸易十分兴盛。诗歌在这一时期达到了顶峰，李白、杜甫和白居易等诗人"
        "留下了大量脍炙人口的作品。科举制度的完善使得出身寒微的读书人也有机会进入朝廷任职，从而促进了社"
        "会的流动。",
        123,
    ),
    "traditional Chinese": (
        "臺灣位於東亞，四面環海，氣候溫暖潮濕。島上的高山超過兩百座，其中玉山是最高峰。夜市是當地人日常"
        "生活的重要部分，遊客可以品嚐到各式各樣的小吃，例如蚵仔煎、珍珠奶茶和臭豆腐。近年來，半導體產業"
        "的蓬勃發展帶動了整體經濟的成長，也吸引了許多國際企業前來投資。",
        119,
    ),
    "Swedish letter": (
        "Hej! Vi beklagar verkligen besväret. Vi har nu kontrollerat din beställning från förra veckan o"
        "ch ser att de trådlösa hörlurarna ännu inte har skickats. På grund av förseningar i vårt lager "
        "kommer paketet att lämna oss under dagen. Du får ett sms med spårningsnumret så snart det är på"
        " väg. Om du hellre vill ha pengarna tillbaka kan du avbeställa under Mina sidor eller kontakta "
        "kundtjänst. Vi ber återigen om ursäkt och hoppas att du får en trevlig helg.",
        124,
    ),
    "Swedish prose": (
        "Stockholms skärgård består av omkring trettiotusen öar, kobbar och skär. Under sommarhalvåret t"
        "rafikeras den av vita båtar som tar både fastboende och turister ut till bryggor, sommarstugor "
        "och skärgårdskrogar. Många öar saknar bilvägar, och på vintern kan isen göra det svårt att ta s"
        "ig fram. Näringslivet har genom århundradena präglats av fiske, jordbruk och sjöfart, men i dag"
        " dominerar turismen och distansarbetet.",
        128,
    ),
    "German letter": (
        "Sehr geehrte Kundin, wir bitten um Entschuldigung für die Unannehmlichkeiten. Ihre Bestellung a"
        "us der vergangenen Woche wurde leider noch nicht versandt, da es in unserem Logistikzentrum zu "
        "Verzögerungen gekommen ist. Das Paket wird voraussichtlich heute das Haus verlassen; die Sendun"
        "gsnummer erhalten Sie unmittelbar danach per SMS. Falls Sie eine Rückerstattung wünschen, wende"
        "n Sie sich bitte an unseren Kundendienst.",
        86,
    ),
    "French letter": (
        "Madame, Monsieur, nous vous prions d'accepter nos excuses pour la gêne occasionnée. Après vérif"
        "ication, les écouteurs sans fil que vous avez commandés la semaine dernière n'ont pas encore ét"
        "é expédiés. En raison d'un retard au centre logistique, le colis partira dans la journée et le "
        "numéro de suivi vous sera envoyé aussitôt. Si vous préférez être remboursé, veuillez annuler la"
        " commande dans votre espace personnel.",
        95,
    ),
    "Russian letter": (
        "Уважаемый клиент, приносим вам искренние извинения за доставленные неудобства. Мы проверили ваш"
        " заказ: беспроводные наушники, которые вы купили на прошлой неделе, ещё не отправлены. Из-за за"
        "держки на складе посылка уйдёт сегодня, а номер для отслеживания мы пришлём в сообщении сразу п"
        "осле отправки. Если вы хотите вернуть деньги, отмените заказ в личном кабинете или обратитесь в"
        " службу поддержки.",
        104,
    ),
    "Vietnamese letter": (
        "Kính gửi quý khách, chúng tôi thành thật xin lỗi vì sự bất tiện này. Đơn hàng tai nghe không dâ"
        "y mà quý khách đặt tuần trước vẫn chưa được gửi đi. Do kho hàng bị chậm trễ, gói hàng sẽ được g"
        "ửi trong hôm nay và mã vận đơn sẽ được nhắn ngay cho quý khách.",
        68,
    ),
    "Thai letter": (
        "เรียนลูกค้าที่เคารพ ทางเราขออภัยเป็นอย่างสูงในความไม่สะดวกที่เกิดขึ้น หูฟังไร้สายที่ท่านสั่งซื้"
        "อเมื่อสัปดาห์ที่แล้วยังไม่ได้จัดส่ง เนื่องจากความล่าช้าที่คลังสินค้า พัสดุจะถูกส่งออกภายในวันนี"
        "้",
        72,
    ),
    "Arabic letter": (
        "عزيزي العميل، نعتذر بشدة عن الإزعاج. لقد تحققنا من طلبك من الأسبوع الماضي ووجدنا أن السماعات ال"
        "لاسلكية لم يتم شحنها بعد. بسبب تأخير في المستودع، سيغادر الطرد اليوم وسنرسل إليك رقم التتبع فور"
        " شحنه.",
        69,
    ),
    "Hindi letter": (
        "प्रिय ग्राहक, हुई असुविधा के लिए हमें बहुत खेद है। हमने आपके पिछले सप्ताह के ऑर्डर की जाँच की ह"
        "ै और वायरलेस इयरफ़ोन अभी तक नहीं भेजे गए हैं। गोदाम में देरी के कारण पार्सल आज निकलेगा।",
        61,
    ),
    "Korean with Python": (
        "다음 오류를 해결해 주세요: `TypeError: unsupported operand type(s) for +: 'int' and 'str'`. 아"
        "래는 제 코드입니다.\n"
        "\n"
        "```python\n"
        "def total(items):\n"
        "    result = 0\n"
        "    for item in items:\n"
        '        result += item["price"]\n'
        "    return result\n"
        "```\n"
        "\n"
        "어디가 잘못되었는지 한국어로 설명해 주시고, unit test도 추가해 주세요. Thank you!",
        94,
    ),
    "English with Japanese and Chinese": (
        "The customer wrote: 「注文した商品がまだ届きません。いつ届きますか？」 Please answer politely i"
        "n Japanese, then summarise the case in English for the support team (ticket #48213, priority hi"
        "gh), and add a one-line Chinese summary: 客户询问订单何时送达。",
        64,
    ),
    "JSON": (
        '{"id":"job_01JD8M3QZK6T4V2N9X7C5B1A0R","type":"summarize","status":"succeeded","created_at":"20'
        '26-11-22T04:08:32.512Z","usage":{"input_tokens":1283,"output_tokens":214,"cached_tokens":0},"me'
        'tadata":{"ticket":4711,"customer":"김민수","tags":["refund","late","헤드폰"]},"links":{"self":"'
        '/v1/jobs/job_01JD8M3QZK6T4V2N9X7C5B1A0R"}}',
        137,
    ),
    "table": (
        "2026-11-01 1,284.50 33.1% 17\n"
        "2026-11-02 1,301.25 34.0% 21\n"
        "2026-11-03 998.00 29.7% 12\n"
        "2026-11-04 1,450.75 36.2% 25\n"
        "2026-11-05 1,512.10 37.9% 28\n"
        "010-2345-6789, 02-555-0199\n",
        114,
    ),
    "SQL": (
        "SELECT c.id, c.name, COUNT(o.id) AS orders, SUM(o.total) AS revenue\n"
        "FROM customers AS c\n"
        "LEFT JOIN orders AS o ON o.customer_id = c.id AND o.created_at >= NOW() - INTERVAL '30 days'\n"
        "WHERE c.country IN ('SE', 'KR', 'JP')\n"
        "GROUP BY c.id, c.name\n"
        "HAVING SUM(o.total) > 1000\n"
        "ORDER BY revenue DESC\n"
        "LIMIT 50;\n",
        93,
    ),
}
FILLERS = {name: text for name, (text, _) in COUNTED.items()}


@pytest.mark.parametrize("name", COUNTED)
def test_an_estimate_is_right_within_a_fifth(name: str) -> None:
    text, counted = COUNTED[name]
    assert 0.8 * counted <= estimate(text) <= 1.2 * counted


def test_a_mixture_is_the_sum_of_its_parts() -> None:
    text = "\n\n".join(text for text, _ in COUNTED.values())
    counted = sum(counted for _, counted in COUNTED.values())
    assert 0.9 * counted <= estimate(text) <= 1.1 * counted


def test_korean_is_not_counted_like_english() -> None:
    korean, english = COUNTED["Korean letter"], COUNTED["English letter"]
    assert estimate(korean[0]) / len(korean[0]) > 2 * estimate(english[0]) / len(english[0])


@pytest.mark.parametrize(
    ("text", "least", "most"),
    [
        ("", 0, 0),
        (" ", 1, 1),
        ("a", 1, 1),
        ("?", 1, 1),
        ("가?", 1, 2),
        ("😀" * 10, 10, 40),
        ("\ud800", 1, 3),
        ("\x00" * 100, 1, 100),
        ("1" * 300, 100, 300),
        ("\n" * 50, 1, 10),
        ("한" * 1_000, 500, 1_000),
    ],
)
def test_odd_texts(text: str, least: int, most: int) -> None:
    assert least <= estimate(text) <= most


@given(st.text())
def test_any_text_has_an_estimate(text: str) -> None:
    assert bool(text) <= estimate(text) <= 3 * len(text) + 3


@pytest.mark.parametrize("name", FILLERS)
def test_a_long_text_takes_little_time(name: str) -> None:
    text = FILLERS[name] * (100_000 // len(FILLERS[name].encode()))
    started = time.process_time()
    for _ in range(20):
        estimate(text)
    assert (time.process_time() - started) / 20 < 0.05


def question(*parts: Text | Image | ToolCall | ToolResult, **fields: object) -> int:
    """The estimate of a question with one message of these parts."""
    return estimate_ask(Ask(model="m", messages=(Message(role="user", parts=parts),), **fields))  # type: ignore[arg-type]


def test_a_question_is_all_that_is_sent() -> None:
    text, _ = COUNTED["Korean letter"]
    plain = question(Text(text))
    assert plain >= estimate(text)
    assert question(Text(text), system=text) == plain + estimate(text)
    image = Image(media_type="image/png", data=b"x" * 1_000_000)
    assert question(Text(text), image) == plain + IMAGE
    schema = {"type": "object", "properties": {"주문": {"type": "string", "description": text}}}
    assert question(Text(text), output_schema=schema) > plain + estimate(text)
    tool = Tool(name="find_order", description=text, parameters=schema)
    assert question(Text(text), tools=(tool, tool)) > plain + 4 * estimate(text)
    call = ToolCall(id="1", name="find_order", arguments={"query": text})
    result = ToolResult(call_id="1", name="find_order", content=text)
    assert question(Text(text), call, result) > plain + 2 * estimate(text)
    assert estimate_ask(Ask(model="m", messages=())) == 0
